"""Points jupyter_server's own API tests at Backlot's server: a pytest plugin that replaces their fixtures.

Each test gets a server of its own, in its own folders, as with the stock fixtures. The program and its arguments are in
BACKLOT_JUPYTER_SERVER, as JSON.
"""

import json
import os
import subprocess
from types import SimpleNamespace

import pytest

TOKEN = "conformance"


@pytest.fixture
def backlot_server(jp_environ, jp_root_dir, jp_base_url, tmp_path):
    command = json.loads(os.environ["BACKLOT_JUPYTER_SERVER"])
    arguments = ["--root", str(jp_root_dir), "--state", str(tmp_path / "state"), "--token", TOKEN]
    server = subprocess.Popen(
        [*command, *arguments, "--base-url", jp_base_url], stdout=subprocess.PIPE, text=True
    )
    address = server.stdout.readline().strip()
    yield SimpleNamespace(port=int(address.split(":")[2].split("/")[0]), process=server)
    server.kill()
    server.wait()


@pytest.fixture
def jp_http_port(backlot_server):
    return backlot_server.port


@pytest.fixture
def http_server_client(backlot_server, jp_asyncio_loop):
    from tornado.httpclient import AsyncHTTPClient

    async def make():
        return AsyncHTTPClient()

    client = jp_asyncio_loop.run_until_complete(make())

    class Client:
        def fetch(self, path, **keywords):
            return client.fetch(f"http://127.0.0.1:{backlot_server.port}{path}", **keywords)

    yield Client()
    client.close()


class EventLogger:
    """What the tests of events ask of the server's logger, by way of its folder of schemas, its interface and its log."""

    def __init__(self, state, url):
        self.state = state
        self.url = url

    def register_event_schema(self, path):
        import yaml

        folder = self.state / "event-schemas"
        folder.mkdir(parents=True, exist_ok=True)
        schema = yaml.safe_load(path.read_text())
        (folder / f"{path.stem}.json").write_text(json.dumps(schema))

    def register_handler(self, handler):
        def logged():
            lines = map(json.loads, (self.state / "activity.jsonl").read_text().splitlines())
            return "\n".join(json.dumps({"__timestamp__": line["time"], **line["data"]}) for line in lines)

        handler.stream.getvalue = logged

    def emit(self, schema_id, data):
        import urllib.request

        body = json.dumps({"schema_id": schema_id, "version": "1", "data": data}).encode()
        headers = {"Authorization": f"token {TOKEN}"}
        urllib.request.urlopen(urllib.request.Request(self.url + "api/events", data=body, headers=headers))


@pytest.fixture
def jp_serverapp(backlot_server, jp_root_dir, jp_base_url, tmp_path):
    """What tests ask of the server object besides HTTP; anything else is an AttributeError, which the suite reports."""
    return SimpleNamespace(
        root_dir=str(jp_root_dir),
        base_url=jp_base_url,
        port=backlot_server.port,
        event_logger=EventLogger(tmp_path / "state", f"http://127.0.0.1:{backlot_server.port}{jp_base_url}"),
        kernel_manager=SimpleNamespace(default_kernel_name="python3", use_pending_kernels=False),
    )


@pytest.fixture
def jp_auth_header(backlot_server):
    return {"Authorization": f"token {TOKEN}"}


@pytest.fixture(autouse=True)
def jp_server_cleanup(jp_asyncio_loop):
    yield
