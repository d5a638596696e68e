"""A process that is asked to stop by signal, and waits for the network."""

import signal
import subprocess
import sys

PROGRAM = """
import signal, socket, threading
from heli.proxy.spool.stopping import Stop

stop = Stop()
stop.on_signals(0.3)
threading.Thread(target=threading.Event().wait, daemon=True).start()
if BLOCKS:  # as a signal that comes a moment before the wait: the main thread is not woken by it
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
one, other = socket.socketpair()
print("waits", flush=True)
one.recv(1)
"""


def test_what_waits_is_left_in_time_whichever_thread_the_signal_wakes() -> None:
    for blocks in (False, True):
        command = [sys.executable, "-c", f"BLOCKS = {blocks}{PROGRAM}"]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            assert process.stdout.readline() == "waits\n"
            process.send_signal(signal.SIGTERM)
            try:
                assert process.wait(10) == 0
            finally:
                process.kill()
