"""How the wallets of Daraja's simulator behave.

The last three digits of the number choose what happens to a push, and to a payout; of a reversal the two digits before
them, where "00" is normal. Every other number does as it is asked. Times are multiplied by the pace::

    000  done after a second                 013  done, no callback
    002  not enough money                    014  canceled; done after all two seconds later
    003  canceled; no such payee             015  done; the acknowledgement takes 20 s
    004  never ends                          016  a forged callback; done after 5 s
    005  done; no answer is ever sent        017  wrong PIN; the initiator is refused
    006  done; the answer is an HTTP 500     018  refused: the payer's line is busy
    007  not done; the answer is a page      019  the result is said to be late; done
    008  done; the connection is reset       020  a result that is in no table
    009  the callback states a shilling more 149  nobody answers (of the sandbox's test number)
    012  three callbacks, one of them late
"""

import secrets
from typing import Final, NamedTuple

from providers.simulation import HANG, RESET, Reply, html, json

ANSWERED_S: Final = 1.0  # until a payer answers, and until a result comes
OWN, LATE, FORGED = "own", "late", "forged"  # callbacks


def error(status: int, code: str, message: str) -> Reply:
    """An error of the gateway."""
    return json({"requestId": secrets.token_hex(6), "errorCode": code, "errorMessage": message}, status)


class Behaviour(NamedTuple):
    """How a wallet behaves: the ResultCode of a push and of a payout (None: there is never one), and what is sent.

    `refusal` instead of doing it, `reply` instead of acknowledging it. `then`: another ResultCode two seconds later.
    """

    push: str | None = "0"
    payout: str | None = "0"
    refusal: Reply | None = None
    reply: Reply | None = None
    calls: tuple[str, ...] = (OWN,)
    after_s: float = ANSWERED_S
    delay_s: float = 0
    then: str | None = None
    added: int = 0


NORMAL: Final = Behaviour()
BEHAVIOURS: Final = {
    "000": NORMAL,
    "002": Behaviour("1", "1"),
    "003": Behaviour("1032", "2040"),
    "004": Behaviour(None, None),
    "005": Behaviour(reply=HANG),
    "006": Behaviour(reply=html("<h1>Internal Server Error</h1>", 500)),
    "007": Behaviour(refusal=html("<html>Incapsula incident</html>", 503)),
    "008": Behaviour(reply=RESET),
    "009": Behaviour(added=1),
    "012": Behaviour(calls=(OWN, LATE, OWN)),
    "013": Behaviour(calls=()),
    "014": Behaviour("1032", "2040", then="0"),
    "015": Behaviour(delay_s=20),
    "016": Behaviour(calls=(FORGED,), after_s=5),
    "017": Behaviour("2001", "2001"),
    "018": Behaviour(refusal=error(500, "500.001.1001", "Unable to lock subscriber, a transaction is in process")),
    "019": Behaviour(calls=(LATE,)),
    "020": Behaviour("777", "777"),
    "149": Behaviour("1037"),
}
