"""`python -m manyfaces`, the same as `manyfaces`."""

from manyfaces.cli.main import main

if __name__ == "__main__":
    main()
