"""Accounts of the users file.  A change holds from the next login on."""

from __future__ import annotations

import datetime
from collections.abc import Callable
from http import HTTPStatus
from typing import Annotated, TypeVar

from pydantic import Field, SecretStr
from twisted.web.iweb import IRequest

from twistedrelay.config.users import PasswordError, User, UsersAccessError, UsersError, UsersFile
from twistedrelay.control.bounds import in_time
from twistedrelay.control.changing import in_thread
from twistedrelay.control.documents import Document
from twistedrelay.control.live import Relay
from twistedrelay.control.operations import Resource
from twistedrelay.control.requests import RequestProblem

T = TypeVar("T")

resource = Resource()

Address = Annotated[str, Field(min_length=1, max_length=320)]
Password = Annotated[SecretStr, Field(min_length=1, max_length=1024)]


class Account(Document):
    """An account.  C{send_as}: the addresses that it may send as besides its own."""

    address: str
    send_as: list[str]
    created: datetime.date | None


class NewAccount(Document):
    """An account to make."""

    address: Address
    password: Password
    send_as: list[Address] = Field(default=[], max_length=1000)


class NewPassword(Document):
    """A password to set."""

    password: Password


@resource.get("/v1/users", "The accounts of the users file.", Account, many=True)
async def users(relay: Relay, request: IRequest) -> list[Account]:
    """All of them."""
    return [_shown(user) for user in await _with_file(relay, lambda file: list(file.list()))]


@resource.post("/v1/users", "Add an account.", Account, body=NewAccount)
async def add(relay: Relay, request: IRequest, body: NewAccount) -> Account:
    """Add one."""

    def work(file: UsersFile) -> User:
        if file.find(body.address) is not None:
            raise RequestProblem(HTTPStatus.CONFLICT, f"The user {body.address} exists already.")
        return file.add(body.address, body.password.get_secret_value(), body.send_as)

    return _shown(await _with_file(relay, work))


@resource.delete("/v1/users/{address}", "Remove an account.", Account)
async def remove(relay: Relay, request: IRequest, address: str) -> Account:
    """Remove one."""
    return _shown(await _with_file(relay, lambda file: file.remove(_known(file, address))))


@resource.post("/v1/users/{address}/password", "Set a new password.", Account, body=NewPassword)
async def passwd(relay: Relay, request: IRequest, address: str, body: NewPassword) -> Account:
    """Set a password."""
    return _shown(await _with_file(relay, lambda file: file.passwd(_known(file, address), body.password.get_secret_value())))


def _known(file: UsersFile, address: str) -> str:
    if file.find(address) is None:
        raise RequestProblem(HTTPStatus.NOT_FOUND, f"There is no user {address}; `relayctl user list` shows them.")
    return address


def _shown(user: User) -> Account:
    return Account(address=user.address, send_as=list(user.send_as), created=user.created)


async def _with_file(relay: Relay, work: Callable[[UsersFile], T]) -> T:
    """Work on the users file, in a thread.

    @raise RequestProblem: it refuses.
    """
    path = relay.config.users
    try:
        found: T = await in_time(relay, in_thread(relay, lambda: work(UsersFile(path))))
    except PasswordError as error:
        raise RequestProblem(HTTPStatus.UNPROCESSABLE_ENTITY, f"The password cannot be used: {error}.") from None
    except UsersAccessError as error:
        raise RequestProblem(HTTPStatus.CONFLICT, f"The daemon cannot use the users file: {error}.") from None
    except UsersError as error:
        raise RequestProblem(HTTPStatus.UNPROCESSABLE_ENTITY, f"{error}.") from None
    return found
