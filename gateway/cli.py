"""The command `mypay`: every way to start a part of it.

Commands import what they need when they run, so that `mypay --help` answers at once and a process loads only its own
part. Whatever a person can put right is one sentence on stderr: status 2 for settings and arguments, 1 for the rest.
"""

import argparse
import asyncio
import sys
from collections.abc import Callable, Coroutine, Sequence
from pathlib import Path
from typing import Final
from uuid import UUID

from msgspec import Struct

from gateway import cli_events, cli_provider, cli_trigger, cli_webhooks
from gateway.cli_remote import Refused, TargetUnusable

SIMULATOR_PORT: Final = 5101


class Command(Struct, frozen=True, kw_only=True):
    """One sub-command: what it is for, its arguments, and what it does (returns the exit status)."""

    help: str
    arguments: Callable[[argparse.ArgumentParser], None]
    run: Callable[[argparse.Namespace], int]


class UsageError(Exception):
    """The arguments make no sense; the message is one sentence."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command; returns the exit status."""
    from gateway.processes import ProcessError
    from gateway.settings import SettingsError
    from gateway.startup import StartupError
    from gateway.supervisor import SupervisorError

    options = _parser().parse_args(argv)
    try:
        return COMMANDS[options.command].run(options)
    except (SettingsError, UsageError, TargetUnusable, cli_provider.NotPossible) as error:
        return _complain(error, 2)
    except (ProcessError, Refused, StartupError, SupervisorError) as error:
        return _complain(error, 1)


def _complain(error: Exception, status: int) -> int:
    print(f"mypay: {error}", file=sys.stderr)
    return status


def _up(options: argparse.Namespace) -> int:
    if options.detach:
        from gateway import cli_running

        return cli_running.detach(options.directory, sys.argv[1:])
    from gateway import cli_up
    from streams.topics import create_topics

    return cli_up.run(options.directory, options.port, options.pace, create_topics)


def _down(options: argparse.Namespace) -> int:
    from gateway import cli_running

    return cli_running.down(options.directory)


def _api(options: argparse.Namespace) -> int:
    from gateway import settings
    from gateway.server import counting_together, serve

    loaded = settings.load()
    with counting_together(loaded):
        from gateway import startup

        startup.check(loaded)
        startup.check_address("API", loaded.api_host, loaded.api_port)
        serve(loaded)
    return 0


def _worker(options: argparse.Namespace) -> int:
    from gateway import settings, startup
    from providers.registry import PROVIDERS
    from streams.app import ROLES, run

    roles = _chosen("role", options.roles, ROLES)
    providers = _chosen("provider", options.providers, tuple(PROVIDERS))
    loaded = settings.load()
    startup.check(loaded)
    if loaded.worker_port:
        startup.check_address("worker", loaded.worker_host, loaded.worker_port)
    run(loaded, roles, providers, options.paused)
    return 0


def _migrate(options: argparse.Namespace) -> int:
    from gateway import cli_migrate, settings

    print(cli_migrate.run(settings.load().database_uri, options.grant_to))
    return 0


def _merchant(options: argparse.Namespace) -> int:
    from gateway import seed, settings, startup

    loaded = settings.beside_up()
    startup.check(loaded)
    merchant, key = seed.create_merchant(loaded, options.name, livemode=options.live)
    print(f"{merchant} {key}")
    return 0


def _init(options: argparse.Namespace) -> int:
    from gateway import cli_admin, cli_migrate, settings

    loaded = settings.load()
    print(cli_migrate.run(loaded.database_uri))
    return cli_admin.create(loaded, options.email, "owner", only_first=True)


def _admin(options: argparse.Namespace) -> int:
    from gateway import cli_admin, settings, startup

    loaded = settings.beside_up()
    startup.check(loaded)
    if options.action == "password":
        return cli_admin.set_password(loaded, options.email)
    return cli_admin.create(loaded, options.email, options.role)


def _simulator(options: argparse.Namespace) -> int:
    from providers.simulators import serve, simulators

    ports = _simulator_ports(options.names, options.port, tuple(simulators()))
    options.directory.mkdir(parents=True, exist_ok=True)
    try:
        serve(ports, directory=options.directory, pace=options.pace, host=options.host)
    except OSError as error:
        raise UsageError(f"A simulator cannot listen: {error.strerror or error}; choose another --port.") from error
    return 0


def _simulator_ports(names: Sequence[str], first: int, known: tuple[str, ...]) -> dict[str, int]:
    """`["sandbox=5300", "cpay"]` → a port each: the one named, else the next from `first` on."""
    wanted = dict(name.partition("=")[::2] for name in (known if "all" in names else names))
    _chosen("simulator", ",".join(wanted), known)
    try:
        return {name: int(port) if port else first + index for index, (name, port) in enumerate(wanted.items())}
    except ValueError:
        raise UsageError("A simulator's port is a number, as in sandbox=5101.") from None


def _dlq(options: argparse.Namespace) -> int:
    from gateway import settings
    from streams import desk

    loaded = settings.beside_up()
    if options.action == "list":
        return _print(desk.list_dead_letters(loaded, options.topic))
    letters = [_id(text, "dl") for text in options.ids]
    if options.action == "show" and len(letters) == 1:
        return _print(desk.show_dead_letter(loaded, letters[0]))
    if options.action == "replay" and (letters or options.all):
        return _print(desk.replay_dead_letters(loaded, letters or None))
    raise UsageError("Name the dead letters (dl_…): one to show; some, or --all, to replay.")


def _events(options: argparse.Namespace) -> int:
    if options.action == "tail":
        return cli_events.tail(options)
    from gateway import settings
    from streams import desk

    return _print(desk.republish_events(settings.beside_up(), options.position))


def _listen(options: argparse.Namespace) -> int:
    from gateway.clock import Clock
    from streams.webhook_sender import Sender

    return cli_events.listen(options, lambda url: Sender(url, filtered=False, clock=Clock()))


def _review(options: argparse.Namespace) -> int:
    from gateway import settings
    from gateway.payments.facts import Resolution
    from streams import desk

    if options.action == "list":
        return _print(desk.list_reviews(settings.beside_up()))
    if options.payment is None or options.to is None or not options.reason:
        raise UsageError("A resolution needs the payment (pay_…) or payout (pout_…), --to, and --reason.")
    resolution = Resolution(action=options.to, reason=options.reason)
    return _print(desk.resolve_review(settings.beside_up(), _id(options.payment, "pay", "pout"), resolution))


def _doctor(options: argparse.Namespace) -> int:
    from streams.doctor import command

    return command.run(as_json=options.json)


def _explain(options: argparse.Namespace) -> int:
    from gateway import settings
    from streams import explain

    return _print(explain.explain(settings.beside_up(), _id(options.payment, "pay", "pout"), as_json=options.json))


def _keys(options: argparse.Namespace) -> int:
    from gateway import cli_keys, settings

    return _print(cli_keys.rotate(settings.beside_up()))


def _audit(options: argparse.Namespace) -> int:
    from gateway import cli_keys, settings

    return _print(cli_keys.verify_audit(settings.beside_up()))


def _print(work: Coroutine[object, object, list[str]]) -> int:
    """Do it, and print the lines."""
    import asyncpg

    from gateway.payments.errors import MyPayError
    from gateway.startup import StartupError
    from streams.desk import NothingFound

    try:
        lines = asyncio.run(work)
    except (NothingFound, MyPayError) as error:
        raise UsageError(getattr(error, "detail", str(error))) from error
    except (OSError, TimeoutError, asyncpg.PostgresError) as error:
        raise StartupError(f"The database (DATABASE_URI) does not answer: {type(error).__name__}.") from error
    print("\n".join(lines))
    return 0


def _id(text: str, *prefixes: str) -> UUID:
    from gateway import ids

    found = ids.read_any(prefixes, text)
    if found is None:
        raise UsageError(f"{text} is no id of the form {' or '.join(f'{prefix}_…' for prefix in prefixes)}.")
    return found


def _chosen(what: str, text: str | None, known: tuple[str, ...]) -> tuple[str, ...]:
    """A comma-separated choice among the known ones; all of them when nothing was chosen."""
    chosen = known if text is None else tuple(name.strip() for name in text.split(",") if name.strip())
    unknown = [name for name in chosen if name not in known]
    if unknown or not chosen:
        raise UsageError(f"Unknown {what} {', '.join(unknown) or 'of no name'}: there are {', '.join(known)}.")
    return chosen


# --- The table of commands --------------------------------------------------------------------------------------------


def _no_arguments(parser: argparse.ArgumentParser) -> None:
    """For commands that only read the settings."""


def _migrate_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--grant-to", metavar="ROLE", help="let this database role read and write rows, and change no schema"
    )


def _only(action: str) -> Callable[[argparse.ArgumentParser], None]:
    """For commands that do one thing."""

    def arguments(parser: argparse.ArgumentParser) -> None:
        parser.add_argument("action", choices=[action])

    return arguments


def _directory_argument(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--directory", type=Path, default=Path(".mypay"), help="where its data is (default: .mypay)")


def _up_arguments(parser: argparse.ArgumentParser) -> None:
    _directory_argument(parser)
    parser.add_argument("--port", type=int, default=5000, help="the API's port (default: 5000)")
    parser.add_argument("--pace", type=float, default=1.0, help="multiplies the providers' declared durations")
    parser.add_argument("--detach", action="store_true", help="return once it is ready; `mypay down` ends it")


def _worker_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--roles", help="executor, callbacks, relay, notifier, sweeper, comma-separated (default: all)")
    parser.add_argument("--providers", help="comma-separated (default: all)")
    parser.add_argument("--paused", action="store_true", help="execute nothing until an operator allows it")


def _simulator_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("names", nargs="+", metavar="NAME[=PORT]", help="a provider's name, or `all`")
    parser.add_argument("--port", type=int, default=SIMULATOR_PORT, help=f"the first port (default: {SIMULATOR_PORT})")
    parser.add_argument("--pace", type=float, default=1.0, help="multiplies the providers' declared durations")
    parser.add_argument("--host", default="127.0.0.1", help="where they listen (default: 127.0.0.1)")
    ledgers = Path(".mypay/simulators")
    parser.add_argument("--directory", type=Path, default=ledgers, help=f"where ledgers are kept (default: {ledgers})")


def _merchant_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("action", choices=["create"])
    parser.add_argument("name", help="what people call it")
    parser.add_argument("--live", action="store_true", help="make a live key, not a test key")


def _email_argument(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--email", required=True, help="the person's e-mail address")


def _admin_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("action", choices=["create", "password"], help="make a person, or give one a new password")
    _email_argument(parser)
    parser.add_argument("--role", choices=["owner", "operator", "viewer"], default="owner", help="(default: owner)")


def _dlq_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("action", choices=["list", "show", "replay"])
    parser.add_argument("ids", nargs="*", metavar="ID", help="dead letters (dl_…)")
    parser.add_argument("--topic", help="list those of one topic")
    parser.add_argument("--all", action="store_true", help="replay all that were never replayed")


def _events_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("action", choices=["tail", "republish"], help="show a merchant's; publish all to their topics")
    cli_events.tail_arguments(parser, "tail: ")
    first = "republish: the first position (default: 1)"
    parser.add_argument("--from", dest="position", type=int, default=1, help=first)


def _review_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("action", choices=["list", "resolve"])
    parser.add_argument("payment", nargs="?", help="the payment (pay_…) or payout (pout_…) to resolve")
    choices = ["mark_succeeded", "mark_failed", "refund"]
    parser.add_argument(
        "--to", choices=choices, help="what became of it; refund: it succeeded, and is to be given back"
    )
    parser.add_argument("--reason", help="how you know; kept in the audit log")


def _doctor_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="for programs")


def _explain_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("payment", metavar="PAYMENT", help="a payment (pay_…) or payout (pout_…), of any merchant")
    parser.add_argument("--json", action="store_true", help="for programs: the timeline's entries, evidence included")


COMMANDS: Final = {
    "up": Command(help="start everything on this machine", arguments=_up_arguments, run=_up),
    "down": Command(help="end a running `up`", arguments=_directory_argument, run=_down),
    "api": Command(help="serve the HTTP API", arguments=_no_arguments, run=_api),
    "worker": Command(help="run everything beside the API", arguments=_worker_arguments, run=_worker),
    "migrate": Command(help="bring the database to this version's schema", arguments=_migrate_arguments, run=_migrate),
    "init": Command(help="migrate, and make the first owner", arguments=_email_argument, run=_init),
    "admin": Command(help="make people who may sign in", arguments=_admin_arguments, run=_admin),
    "merchant": Command(help="make a merchant and its first API key", arguments=_merchant_arguments, run=_merchant),
    "doctor": Command(help="look at every part, and say what to do", arguments=_doctor_arguments, run=_doctor),
    "explain": Command(help="tell what happened to a payment", arguments=_explain_arguments, run=_explain),
    "dlq": Command(help="look at dead letters, and send them again", arguments=_dlq_arguments, run=_dlq),
    "events": Command(help="show events; publish them again", arguments=_events_arguments, run=_events),
    "listen": Command(help="forward events to a server of yours", arguments=cli_events.listen_arguments, run=_listen),
    "trigger": Command(help="make an event happen", arguments=cli_trigger.arguments, run=cli_trigger.run),
    "webhooks": Command(help="send events again", arguments=cli_webhooks.arguments, run=cli_webhooks.run),
    "review": Command(help="see and end payments' reviews", arguments=_review_arguments, run=_review),
    "keys": Command(help="put a new SECRET_KEY in the place of the previous one", arguments=_only("rotate"), run=_keys),
    "audit": Command(help="check that no audit trail was changed", arguments=_only("verify"), run=_audit),
    "simulator": Command(help="play a provider", arguments=_simulator_arguments, run=_simulator),
    "provider": Command(help="make one, try one, check one", arguments=cli_provider.arguments, run=cli_provider.run),
}


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="mypay", description="MyPay: one payment API, many providers.")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, command in COMMANDS.items():
        command.arguments(commands.add_parser(name, help=command.help, description=command.help))
    return parser


if __name__ == "__main__":
    sys.exit(main())
