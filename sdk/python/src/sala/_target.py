"""The sockets that a call is about."""

from typing import TypedDict

from sala._values import Names, names


class Target(TypedDict):
    """The fields of a message that name sockets. Those of every call have the same names."""

    namespace: str
    rooms: list[str]
    users: list[str]
    sockets: list[str]
    except_rooms: list[str]
    except_users: list[str]
    except_sockets: list[str]


def target(
    rooms: Names,
    users: Names,
    sockets: Names,
    except_rooms: Names,
    except_users: Names,
    except_sockets: Names,
    namespace: str,
) -> Target:
    """Returns the fields for what a caller names. Raises TypeError for names of another type."""
    return Target(
        namespace=namespace,
        rooms=names(rooms),
        users=names(users),
        sockets=names(sockets),
        except_rooms=names(except_rooms),
        except_users=names(except_users),
        except_sockets=names(except_sockets),
    )
