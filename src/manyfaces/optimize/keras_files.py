"""Keras files of all ages: `.keras`, `.h5` and `.hdf5`, and a definition with its weights beside it.

What such a file says about itself is read before Keras sees it, because a file can hold code: a Lambda layer is a
piece of a program, and a class of its own is looked for in any module that the file names.
"""

from __future__ import annotations

import io
import json
import os
import sys
import warnings
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

from manyfaces.errors import MissingExtra, UsageError, WeightsError

BACKEND = "torch"
BACKEND_NAME = "KERAS_BACKEND"
OLD = (".h5", ".hdf5")
WEIGHTS = (".weights.h5", ".h5", ".hdf5", "_weights.h5", "_weights.hdf5")
"""Endings of the file of weights that belongs to NAME.json."""

CODE = ("Lambda", "__lambda__")
OURS = ("keras", "builtins", "tf_keras", "tensorflow.keras")
BROKEN = (OSError, ValueError, KeyError, TypeError, EOFError, UnicodeDecodeError, zipfile.BadZipFile, RecursionError)


@dataclass(frozen=True, slots=True)
class Files:
    """`whole`: one file with everything, or None, and then a definition and its weights."""

    whole: Path | None
    definition: Path | None
    weights: Path | None
    config: Any

    @property
    def paths(self) -> tuple[Path, ...]:
        return tuple(path for path in (self.whole, self.definition, self.weights) if path is not None)


def find(path: Path) -> Files:
    """What belongs together, and what it says of its layers."""
    suffix = path.suffix.lower()
    if suffix == ".json":
        return Files(None, path, _weights_of(path), _json(path, path.read_text(encoding="utf-8")))
    config = _config_in_zip(path) if suffix == ".keras" else _config_in_hdf5(path)
    if config is not None:
        return Files(path, None, None, config)
    definition = _definition_of(path)
    return Files(None, definition, path, _json(definition, definition.read_text(encoding="utf-8")))


def _weights_of(path: Path) -> Path:
    for ending in WEIGHTS:
        beside = path.with_name(path.stem + ending)
        if beside.is_file():
            return beside
    raise WeightsError(f"{path}: its weights are not beside it; put them there as {path.stem}.weights.h5")


def _definition_of(path: Path) -> Path:
    """Of a file that holds weights only."""
    for ending in WEIGHTS:
        beside = path.with_name(path.name.removesuffix(ending) + ".json")
        if path.name.endswith(ending) and beside.is_file():
            return beside
    raise WeightsError(
        f"{path}: holds weights and no definition; put what model.to_json() gives beside it, "
        f"as {path.name.removesuffix('.weights.h5').removesuffix(path.suffix)}.json"
    )


def _config_in_zip(path: Path) -> Any:
    try:
        with zipfile.ZipFile(path) as archive:
            return _json(path, archive.read("config.json").decode("utf-8"))
    except BROKEN as error:
        raise _broken(path, error) from None


def _config_in_hdf5(path: Path) -> Any:
    """None where there are weights only."""
    try:
        import h5py
    except ModuleNotFoundError:
        raise MissingExtra("reading Keras files", "keras") from None
    try:
        with h5py.File(path, "r") as file:
            told = file.attrs.get("model_config")
            text = told.decode("utf-8") if isinstance(told, bytes) else told
    except BROKEN as error:
        raise _broken(path, error) from None
    return None if text is None else _json(path, text)


def _json(path: Path, text: str) -> Any:
    try:
        config = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise _broken(path, error) from None
    if not isinstance(config, dict) or "class_name" not in config:
        raise WeightsError(f"{path}: describes no Keras network; give what model.to_json() or model.save() writes")
    return config


def _broken(path: Path, error: Exception) -> WeightsError:
    reason = str(error).strip().splitlines()
    return WeightsError(
        f"{path}: cannot be read as a Keras file ({reason[0] if reason else 'it is cut off'}); save it anew"
    )


# --- what would run code ---------------------------------------------------------------------------------------------


def _parts(config: Any) -> Iterator[dict[str, Any]]:
    """Every object that a definition describes."""
    waiting = [config]
    while waiting:
        one = waiting.pop()
        if isinstance(one, dict):
            if isinstance(one.get("class_name"), str):
                yield one
            waiting += one.values()
        elif isinstance(one, list):
            waiting += one


def refuse_code(path: Path, config: Any) -> None:
    for part in _parts(config):
        if part["class_name"] in CODE:
            inner = part.get("config")
            name = inner.get("name", "lambda") if isinstance(inner, dict) else "lambda"
            raise WeightsError(
                f"{path}: its layer {name!r} holds code that would run here; if you made the file yourself, "
                "add --trust, or build the layer from others"
            )
        module = part.get("module")
        if isinstance(module, str) and module.split(".")[0] not in OURS:
            raise WeightsError(
                f"{path}: uses {part['class_name']} of the module {module}, which would be run here; "
                f"if you trust it, add --trust --custom {module}:{part['class_name'].rpartition('>')[2]}"
            )


def custom_objects(names: Sequence[str]) -> dict[str, Any]:
    """Classes that a user names as `module:Name`."""
    found = {}
    for name in names:
        module, _, attribute = name.partition(":")
        try:
            found[attribute] = getattr(import_module(module), attribute)
        except (ImportError, AttributeError, ValueError) as error:
            raise UsageError(f"{name!r}: cannot be imported ({error}); name your class as MODULE:CLASS") from None
    return found


# --- Keras itself ----------------------------------------------------------------------------------------------------


def library() -> Any:
    """Keras on PyTorch, whatever the user's own settings are: TensorFlow never comes in here."""
    if "keras" not in sys.modules:
        _import_on_torch()
    import keras

    if keras.backend.backend() != BACKEND:
        raise UsageError(
            f"Keras was loaded on {keras.backend.backend()} before; start anew with {BACKEND_NAME}={BACKEND}"
        )
    return keras


def _import_on_torch() -> None:
    former = os.environ.get(BACKEND_NAME)
    os.environ[BACKEND_NAME] = BACKEND
    try:
        with quietly():
            import keras  # noqa: F401
    except ModuleNotFoundError:
        raise MissingExtra("reading Keras files", "keras") from None
    finally:
        if former is None:
            del os.environ[BACKEND_NAME]
        else:
            os.environ[BACKEND_NAME] = former


@contextmanager
def quietly() -> Iterator[None]:
    """Keras warns of numpy's and torch's doings, which nobody who brings a file can change."""
    with warnings.catch_warnings(), redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        yield


def load(path: Path, files: Files, custom: dict[str, Any], trust: bool) -> Any:
    """The network itself."""
    keras = library()
    try:
        with quietly():
            if files.whole is not None:
                safe = {} if files.whole.suffix.lower() in OLD and not trust else {"safe_mode": not trust}
                return keras.models.load_model(files.whole, custom_objects=custom, compile=False, **safe)
            assert files.definition is not None
            assert files.weights is not None
            return _assembled(keras, files.definition, files.weights, custom, trust)
    except (*BROKEN, ImportError, NotImplementedError, AttributeError, RuntimeError) as error:
        raise _refused(path, error) from None


def _assembled(keras: Any, definition: Path, weights: Path, custom: dict[str, Any], trust: bool) -> Any:
    with keras.config_scope() if hasattr(keras, "config_scope") else quietly():
        if trust:
            keras.config.enable_unsafe_deserialization()
        network = keras.models.model_from_json(definition.read_text(encoding="utf-8"), custom_objects=custom)
    network.load_weights(weights)
    return network


def _refused(path: Path, error: Exception) -> WeightsError:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    reason = lines[0][:200] if lines else type(error).__name__
    if any(word in str(error) for word in ("Unknown layer", "Could not locate class", "Could not locate function")):
        return WeightsError(
            f"{path}: has a layer of your own ({reason}); give its class as --custom MODULE:CLASS together with --trust"
        )
    return WeightsError(f"{path}: Keras cannot load it ({reason}); save it anew with Keras 3")
