"""Runs code through a stock jupyter_server whose kernels are at a gateway: ours.

Usage: gateway.py STOCK_URL TOKEN OUR_URL; the last line is `ok`.
"""

import asyncio
import json
import sys
import time
import urllib.request
import uuid

from tornado.httpclient import HTTPRequest
from tornado.websocket import websocket_connect

stock, token, ours = sys.argv[1:4]
HEADERS = {"Authorization": f"token {token}"}


def fetch(url, method="GET", body=None):
    data = json.dumps(body).encode() if body is not None else None
    request = urllib.request.Request(url, data=data, method=method, headers=HEADERS)
    with urllib.request.urlopen(request, timeout=60) as answer:
        return json.loads(answer.read() or b"null")


def wait():
    for _ in range(120):
        try:
            return fetch(stock + "api/kernelspecs")
        except OSError:
            time.sleep(0.5)
    raise SystemExit("the stock server does not start")


async def execute(kernel, code):
    address = stock.replace("http", "ws", 1) + f"api/kernels/{kernel}/channels"
    socket = await websocket_connect(HTTPRequest(address, headers=HEADERS, connect_timeout=60))
    identity = uuid.uuid4().hex
    header = {"msg_id": identity, "msg_type": "execute_request", "username": "", "session": "s", "date": "", "version": "5.3"}
    content = {"code": code, "silent": False, "store_history": True, "user_expressions": {}, "allow_stdin": False}
    message = {"channel": "shell", "header": header, "parent_header": {}, "metadata": {}, "content": content, "buffers": []}
    await socket.write_message(json.dumps(message))
    text = ""
    while True:
        answer = json.loads(await asyncio.wait_for(socket.read_message(), 60))
        if answer["parent_header"].get("msg_id") != identity:
            continue
        if answer["msg_type"] == "stream":
            text += answer["content"]["text"]
        if answer["msg_type"] == "error":
            raise SystemExit("\n".join(answer["content"]["traceback"]))
        if answer["msg_type"] == "status" and answer["content"]["execution_state"] == "idle":
            socket.close()
            return text


specs = wait()
assert "python3" in specs["kernelspecs"], specs
wish = {"path": "n.ipynb", "name": "n.ipynb", "type": "notebook", "kernel": {"name": "python3"}}
session = fetch(stock + "api/sessions", "POST", wish)
kernel = session["kernel"]["id"]
assert kernel in [known["id"] for known in fetch(ours + "api/kernels")], "the kernel is ours"
text = asyncio.run(execute(kernel, "import os; print(6 * 7, os.environ.get('KERNEL_GREETING'))"))
assert text == "42 by way of the gateway\n", text
fetch(stock + f"api/kernels/{kernel}/interrupt", "POST", {})
fetch(stock + f"api/kernels/{kernel}/restart", "POST", {})
assert asyncio.run(execute(kernel, "print('again')")) == "again\n"
fetch(stock + f"api/sessions/{session['id']}", "DELETE")
assert kernel not in [known["id"] for known in fetch(ours + "api/kernels")], "the kernel has ended"
print("a stock jupyter_server started, ran, interrupted, restarted and ended a kernel of ours")
print("ok")
