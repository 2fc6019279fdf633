"""Reading a project: `setpoint.yaml`, `defaults.yaml` and `prices.yaml` beside it, and one file a model.

`defaults.yaml` merges beneath every model: mappings at every depth, all else is replaced; a key that a model
sets to nothing (`owner:`) takes its default back.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from pydantic import BaseModel, ValidationError

from setpoint.core.contacts import Contacts
from setpoint.declare.bars import impossible_bars
from setpoint.declare.contacts import contacts_of
from setpoint.declare.contract import contract_problems
from setpoint.declare.explain import explain
from setpoint.declare.prices import PricesDeclaration, price_problems
from setpoint.declare.problems import Problem, Problems, declaration_error
from setpoint.declare.runbook import load_runbooks, unknown_runbook
from setpoint.declare.schema import ModelDeclaration, ProjectDeclaration
from setpoint.declare.source import Source, fail, read_source, read_text

if TYPE_CHECKING:
    from collections.abc import Mapping

    from setpoint.core.model import Model
    from setpoint.core.prices import PriceBook
    from setpoint.core.runbook import Runbook

PROJECT_FILE = "setpoint.yaml"
DEFAULTS_FILE = "defaults.yaml"
PRICES_FILE = "prices.yaml"
MODELS_FOLDER = "models"

_Declaration = TypeVar("_Declaration", bound=BaseModel)


@dataclass(frozen=True, slots=True)
class Project:
    """What a folder declares.

    Attributes:
        store: The store's path, resolved against the folder, or its URL as written.
        models: The declared models by name, in order of name.
        files: Every file that was read, to watch or to show.
        prices: The price book; None when no file declares one.
        contacts: Who is told.
        runbooks: Those of the project's own, by name.
    """

    store: str
    models: Mapping[str, Model]
    files: tuple[Path, ...]
    prices: PriceBook | None = None
    contacts: Contacts = field(default_factory=Contacts)
    runbooks: Mapping[str, Runbook] = field(default_factory=dict[str, "Runbook"])


def load_project(folder: Path) -> Project:
    """Read a project's declarations.

    Raises:
        DeclarationError: A file is missing or does not hold; one error tells the problems of all files.

    Example:
        >>> import tempfile
        >>> folder = Path(tempfile.mkdtemp())
        >>> _ = (folder / "setpoint.yaml").write_text("store: ./events")
        >>> (folder / "models").mkdir()
        >>> _ = (folder / "models" / "flights.yaml").write_text("task: regression")
        >>> load_project(folder).models["flights"].task.value
        'regression'
    """
    problems: list[Problem] = []
    models: dict[str, Model] = {}
    prices = None
    try:
        project = _project(folder)
        models_folder = _models_folder(folder, project)
        files = [folder / PROJECT_FILE]
        defaults = None
        if (folder / DEFAULTS_FILE).exists():
            files.append(folder / DEFAULTS_FILE)
            try:
                defaults = _defaults(folder / DEFAULTS_FILE)
            except Problems as found:
                problems.extend(found.problems)
        if (folder / PRICES_FILE).exists():
            files.append(folder / PRICES_FILE)
            try:
                prices = _prices(read_source(folder / PRICES_FILE))
            except Problems as found:
                problems.extend(found.problems)
        for path in _model_files(models_folder):
            files.append(path)
            try:
                models[path.stem] = _model_file(path, defaults)
            except Problems as found:
                problems.extend(found.problems)
        runbooks = load_runbooks(folder)
        problems += _unknown_runbooks(models, runbooks, models_folder)
    except Problems as found:
        problems.extend(found.problems)
    else:
        if not problems:
            contacts = contacts_of(project.on_call, project.heartbeat)
            return Project(_store(folder, project), models, tuple(files), prices, contacts, runbooks)
    raise declaration_error(problems) from None


def store_of(folder: Path) -> str:
    """Return where a project's store is, as in `Project`; no file is read but `setpoint.yaml`.

    Raises:
        DeclarationError: That file is missing or does not hold.
    """
    try:
        return _store(folder, _project(folder))
    except Problems as found:
        raise declaration_error(found.problems) from None


def load_model(path: Path, defaults: Path | None = None) -> Model:
    """Read one model's file; its name is the file's.

    Args:
        path: A file such as `models/flights.yaml`.
        defaults: A file whose keys lie beneath the model's.

    Raises:
        DeclarationError: A file cannot be read or does not hold; the error tells all problems.

    Example:
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp(), "flights.yaml")
        >>> _ = path.write_text("outcome_horizon: 2w")
        >>> load_model(path).outcome_horizon // 86_400_000_000
        14
    """
    try:
        return _model_file(path, _defaults(defaults) if defaults else None)
    except Problems as found:
        raise declaration_error(found.problems) from None


def defaults_for(path: Path) -> Path | None:
    """Return the defaults of the project that a model's file is in; None where there is no project, or it has none."""
    for folder in path.absolute().parents:
        if (folder / PROJECT_FILE).is_file():
            defaults = folder / DEFAULTS_FILE
            return defaults if defaults.exists() else None
    return None


def load_text(text: str, name: str, file: str = "", defaults: Path | None = None) -> Model:
    """Read a declaration that is not in a file.

    Args:
        text: The YAML text.
        name: The model's name.
        file: What errors call the text; `NAME.yaml` when empty.
        defaults: A file whose keys lie beneath the model's.

    Raises:
        DeclarationError: The text does not hold; the error tells all problems.

    Example:
        >>> load_text("keep: 0.5", "flights").keep
        0.5
    """
    try:
        source = read_text(text, file or f"{name}.yaml")
        return _model(source.over(_defaults(defaults)) if defaults else source, name)
    except Problems as found:
        raise declaration_error(found.problems) from None


def load_prices(text: str, file: str = PRICES_FILE) -> PriceBook:
    """Read a price book that is not in a file.

    Args:
        text: The YAML text.
        file: What errors call the text.

    Raises:
        DeclarationError: The text does not hold; the error tells all problems.

    Example:
        >>> load_prices("prices: [{provider: own, model: v3, per_compute_second: 0.002}]").prices[0].subject
        'own/v3'
    """
    try:
        return _prices(read_text(text, file))
    except Problems as found:
        raise declaration_error(found.problems) from None


def _unknown_runbooks(models: Mapping[str, Model], own: Mapping[str, Runbook], folder: Path) -> list[Problem]:
    return [
        Problem(str(folder / f"{name}.yaml"), 0, "runbook", *unknown)
        for name, model in models.items()
        if (unknown := unknown_runbook(model.runbook, own))
    ]


def _prices(source: Source) -> PriceBook:
    book = _validated(PricesDeclaration, source).to_core()
    if found := price_problems(book, source):
        raise Problems(found)
    return book


def _project(folder: Path) -> ProjectDeclaration:
    path = folder / PROJECT_FILE
    if not path.is_file():
        fail(
            str(folder),
            0,
            f"found no {PROJECT_FILE}, expected one",
            "run `setpoint init`, or name the project's folder",
        )
    return _validated(ProjectDeclaration, read_source(path))


def _store(folder: Path, project: ProjectDeclaration) -> str:
    return project.store if "://" in project.store else str(folder / project.store)


def _models_folder(folder: Path, project: ProjectDeclaration) -> Path:
    found = folder / (project.models or MODELS_FOLDER)
    if project.models and not found.is_dir():
        source = read_source(folder / PROJECT_FILE)
        file, line = source.place(("models",))
        raise Problems([Problem(file, line, "models", f"found no folder {found}", "create it, or correct the path")])
    return found


def _model_files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.glob("*.y*ml") if not path.name.startswith("."))


def _defaults(path: Path) -> Source:
    """Read the defaults; alone they may lack keys that each model adds, but nothing in them may be wrong."""
    source = read_source(path)
    if "name" in source.data:
        file, line = source.place(("name",))
        raise Problems([Problem(file, line, "name", "a name cannot be a default", "remove it")])
    try:
        ModelDeclaration.model_validate(_set(source))
    except ValidationError as error:
        if wrong := explain(error, ModelDeclaration, source, partial=True):
            raise Problems(wrong) from None
    return source


def _model_file(path: Path, defaults: Source | None) -> Model:
    if path.suffix != ".yaml":
        fail(
            str(path),
            0,
            f"found the ending {path.suffix or 'none'}, expected .yaml",
            f"rename it to {path.stem}.yaml",
        )
    source = read_source(path)
    model = _model(source.over(defaults) if defaults else source, path.stem)
    file = model.reference_file
    return replace(model, reference=str((path.parent / file).resolve())) if file else model


def _model(source: Source, name: str) -> Model:
    given = source.data.get("name")
    problems: list[Problem] = []
    if isinstance(given, str) and given != name:
        file, line = source.place(("name",))
        message = f"found {given!r}, expected {name!r}, the name of the file"
        problems.append(Problem(file, line, "name", message, "rename the file, or remove the key"))
    named = replace(source, data={"name": name, **source.data})
    try:
        found = _validated(ModelDeclaration, named)
    except Problems as more:
        raise Problems([*problems, *more.problems]) from None
    problems += impossible_bars(found, named)
    if found.contract is not None:
        kinds = found.feature_kinds
        problems += contract_problems(found.contract.to_core(kinds), kinds, named, ("contract",))
    if problems:
        raise Problems(problems)
    return found.to_model(name)


def _validated(declaration: type[_Declaration], source: Source) -> _Declaration:
    try:
        return declaration.model_validate(_set(source))
    except ValidationError as error:
        raise Problems(explain(error, declaration, source)) from None


def _set(source: Source) -> dict[str, object]:
    """Return the keys that are set to something."""
    return {key: value for key, value in source.data.items() if value is not None}
