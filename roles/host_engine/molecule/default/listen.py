"""Be another program that holds a port, for a minute at most; prints the process to kill."""

import os
import socket
import sys
import time

listener = socket.create_server(("127.0.0.1", int(sys.argv[1])))
if process := os.fork():
    print(process)
else:
    os.setsid()
    os.closerange(0, 3)  # whoever started this waits for its output to end
    time.sleep(60)
