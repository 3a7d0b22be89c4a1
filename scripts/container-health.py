"""Whether the server in this container takes work: exit status 0 or 1. Needs the standard library only."""

from __future__ import annotations

import json
import os
import sys
from urllib.request import urlopen


def main() -> int:
    port = os.environ.get("MANYFACES_PORT", "8080")
    try:
        with urlopen(f"http://127.0.0.1:{port}/v1/health", timeout=4) as answer:
            return 0 if json.load(answer)["ready"] else 1
    except (OSError, ValueError, KeyError) as error:
        print(f"not ready: {error}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
