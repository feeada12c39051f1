"""The keys of the models as parameters of commands: which there are, how a text given to one is read, and how items are added and removed.

All of it is derived from the models, so that a new key is a new parameter by itself.  Whether a value is allowed is the loader's business
alone; here only Exchange's freedoms are taken away (letter case, C{$true}).
"""

from __future__ import annotations

import types
from collections.abc import Iterator, Sequence
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import attrs
import yaml
from pydantic import BeforeValidator, TypeAdapter, ValidationError

from twistedrelay.config.edit import EditError
from twistedrelay.config.edit_nodes import parse
from twistedrelay.config.load import EVERYWHERE
from twistedrelay.config.model import Model
from twistedrelay.config.problems import path_text
from twistedrelay.config.schema import RemoteRange
from twistedrelay.config.units import duration, duration_text, integer, size, size_text, unlimited, unlimited_size

_UNITS: dict[Any, str] = {
    duration: "duration",
    size: "size",
    integer: "number",
    unlimited: "number or unlimited",
    unlimited_size: "size or unlimited",
}


@attrs.frozen(eq=False)
class Parameter:
    """One key that can be set.

    @ivar path: its keys below the object; more than one where it is in an object of its own.
    @ivar kind: C{"switch"}, C{"choice"}, C{"list"}, C{"mapping"} or C{"text"}.
    @ivar choices: the words that may stand there, or in its list.
    @ivar item: the type of a list's items, or of a mapping's values.
    @ivar default: what holds where nothing is written.
    @ivar unit: what a text has to be: C{"duration"}, C{"size"}, C{"number"}, C{"number or unlimited"}, C{"size or unlimited"}, or anything.
    """

    path: tuple[str, ...]
    kind: str
    choices: tuple[str, ...] = ()
    item: Any = None
    default: Any = None
    required: bool = False
    unit: str = ""

    @property
    def name(self) -> str:
        """C{max_message_size}, C{recipients.file}."""
        return ".".join(self.path)

    @property
    def option(self) -> str:
        """C{--max-message-size}, C{--recipients-file}."""
        return "--" + "-".join(self.path).replace("_", "-")

    @property
    def default_text(self) -> str:
        """What holds where nothing is written, as it would be written; nothing where that is nothing, or not to be said in a word."""
        if self.path == ("remote_ip_ranges",):
            return "all addresses"
        if isinstance(self.default, list):
            return ",".join(map(str, self.default))
        if self.default is None:
            return "unlimited" if self.unit.endswith("unlimited") else ""
        if self.kind == "switch":
            return str(self.default).lower()
        write = {"duration": duration_text, "size": size_text}.get(self.unit.partition(" ")[0], str)
        return write(self.default) if self.kind in ("text", "choice") else ""

    @property
    def of_lists(self) -> bool:
        """A mapping from names to lists."""
        return self.kind == "mapping" and get_origin(self.item) is list


def parameters(model: type[Model], above: tuple[str, ...] = ()) -> Iterator[Parameter]:
    """All keys of a model; those of the objects in it one by one."""
    for key, field in model.model_fields.items():
        path = (*above, key)
        bare = _bare(field.annotation)
        if isinstance(bare, type) and issubclass(bare, Model):
            yield from parameters(bare, path)
            continue
        default = None if field.is_required() else field.get_default(call_default_factory=True)
        unit = next((_UNITS[each.func] for each in field.metadata if isinstance(each, BeforeValidator) and each.func in _UNITS), "")
        yield attrs.evolve(_parameter(path, bare, default, field.is_required()), unit=unit)


def _parameter(path: tuple[str, ...], bare: Any, default: Any, required: bool) -> Parameter:
    origin, arguments = get_origin(bare), get_args(bare)
    if bare is bool:
        return Parameter(path, "switch", ("true", "false"), default=default, required=required)
    if origin is Literal:
        return Parameter(path, "choice", arguments, default=default, required=required)
    if origin is list:
        words = get_args(arguments[0]) if get_origin(arguments[0]) is Literal else ()
        return Parameter(path, "list", words, arguments[0], default, required)
    if origin is dict:
        return Parameter(path, "mapping", (), arguments[1], default, required)
    return Parameter(path, "text", default=default, required=required)


def _bare(annotation: Any) -> Any:
    """A type without what may be None."""
    if get_origin(annotation) is Annotated:
        return _bare(get_args(annotation)[0])
    if get_origin(annotation) in (Union, types.UnionType):
        left = [each for each in get_args(annotation) if each is not type(None)]
        return _bare(left[0]) if len(left) == 1 else annotation
    return annotation


def read_texts(parameter: Parameter, texts: Sequence[str]) -> Any:
    """What was given on a command line, as plain data: a text, a list, or a mapping.

    @raise ValueError: it cannot be read.
    """
    if parameter.kind == "list":
        return [_word(item, parameter.choices) if isinstance(item, str) else item for text in texts for item in _items(text)]
    if parameter.kind == "mapping":
        found: dict[str, Any] = {}
        for text in texts:
            name, equals, value = text.partition("=")
            if not equals or not name.strip():
                raise ValueError(f"{text!r} has no name; allowed: NAME=VALUE")
            if parameter.of_lists:
                found.setdefault(name.strip(), []).extend(_items(value))
            else:
                found[name.strip()] = value.strip()
        return found
    return _word(texts[-1], parameter.choices)


def read_item_names(parameter: Parameter, texts: Sequence[str]) -> Any:
    """What is to be taken out: items of a list, or names of a mapping, each with C{=} and what of its list if wanted.

    @raise ValueError: it cannot be read.
    """
    if parameter.kind == "list":
        return read_texts(parameter, texts)
    found: dict[str, list[str]] = {}
    for text in texts:
        name, _, value = text.partition("=")
        found.setdefault(name.strip(), []).extend(_items(value))
    return found


def _items(text: str) -> list[Any]:
    """C{a,b} or C{{range: a, owner: b}}, the latter as in the file."""
    if not text.lstrip().startswith("{"):
        return [item.strip() for item in text.split(",") if item.strip()]
    try:
        node = parse(f"[{text}]")
    except yaml.YAMLError:
        raise ValueError(f"{text!r} is no YAML; allowed: {{key: value, …}}, as in the file") from None
    return list(node.data) if node is not None else []


def _word(text: str, choices: Sequence[str]) -> str:
    """A word as it is written in the file, from any letter case; C{$true} is PowerShell's."""
    plain = text.strip().removeprefix("$") if choices else text
    return next((choice for choice in choices if choice.lower() == plain.lower()), text)


# -- lists ---------------------------------------------------------------------------------------------------------------


def with_added(parameter: Parameter, current: Any, more: Any) -> Any:
    """A list or mapping with more in it; what is there already stays as it is.

    @raise EditError: what is written is neither.
    """
    _check_kind(parameter, current)
    if parameter.kind == "mapping":
        result = dict(current or {})
        for name, value in more.items():
            old = result.get(name)
            result[name] = [*old, *(each for each in value if each not in old)] if isinstance(old, list) else value
        return result
    there = _effective(parameter, current)
    same = [_key(parameter, item) for item in there]
    return [*there, *(item for item in more if _key(parameter, item) not in same)]


def without(parameter: Parameter, current: Any, less: Any) -> Any:
    """A list or mapping with less in it.

    @raise EditError: something of it is not there, or what is written is neither.
    """
    _check_kind(parameter, current)
    if parameter.kind == "mapping":
        return _without_names(parameter, dict(current or {}), less)
    there = _effective(parameter, current)
    for item in less:
        wanted = _key(parameter, item)
        left = [each for each in there if _key(parameter, each) != wanted]
        if len(left) == len(there):
            shown = ", ".join(_shown(each) for each in there) or "nothing"
            raise EditError(f"{_shown(item)} is not in {parameter.name}; there: {shown}.")
        there = left
    return there


def _check_kind(parameter: Parameter, current: Any) -> None:
    kinds = (dict,) if parameter.kind == "mapping" else (list, str)
    if current is not None and not isinstance(current, kinds):
        raise EditError(f"{parameter.name} is no {parameter.kind} as it is written; set it as a whole.")


def _without_names(parameter: Parameter, result: dict[str, Any], less: Any) -> dict[str, Any]:
    for name, values in less.items() if isinstance(less, dict) else ((each, []) for each in less):
        if name not in result:
            raise EditError(f"{name!r} is not in {parameter.name}; there: {', '.join(result) or 'nothing'}.")
        for value in values:
            if not isinstance(result[name], list) or value not in result[name]:
                raise EditError(f"{value!r} is not in {path_text((*parameter.path, name))}; there: {', '.join(map(str, result[name]))}.")
        left = [each for each in result[name] if each not in values] if values else []
        if left:
            result[name] = left
        else:
            del result[name]
    return result


def _effective(parameter: Parameter, current: Any) -> list[Any]:
    """A list as it is written, or as it is by default."""
    if current is not None:
        return [current] if isinstance(current, str) else list(current)
    return list(EVERYWHERE) if parameter.path == ("remote_ip_ranges",) else [str(each) for each in parameter.default or ()]


def _key(parameter: Parameter, item: Any) -> Any:
    """What makes an item the same as another one, however it is written."""
    try:
        made: Any = _adapter(parameter.item).validate_python(item)
    except ValidationError:
        return _shown(item).casefold()
    return made.range if isinstance(made, RemoteRange) else made.casefold() if isinstance(made, str) else made


def _adapter(item: Any) -> TypeAdapter[Any]:
    if isinstance(item, type) and issubclass(item, Model):
        return TypeAdapter(item)
    return TypeAdapter(item, config={"arbitrary_types_allowed": True})


def _shown(item: Any) -> str:
    return str(item.get("range", item)) if isinstance(item, dict) else str(item)
