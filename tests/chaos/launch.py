"""Run `mypay` with a clock that is wrong: `python launch.py SECONDS api`. The product knows nothing of it.

The patch is made at import, because granian's server processes import this file again (as `__mp_main__`).
"""

import sys
import time

SKEW_S = float(sys.argv[1])
_time, _time_ns = time.time, time.time_ns

time.time = lambda: _time() + SKEW_S
time.time_ns = lambda: _time_ns() + int(SKEW_S * 1e9)

if __name__ == "__main__":
    from gateway.cli import main

    sys.exit(main(sys.argv[2:]))
