"""Garbage on the command line and in the config."""

import os
import sys

from garbage_context import clear_error
from gateway import Gateway, require, run, run_ok


# --- The command line ------------------------------------------------------------------------

def command_line_cases(context):
    empty = os.path.join(context.folder, "empty")  # nothing here may make a store of it
    os.makedirs(empty)
    plain = os.path.join(context.folder, "plain")
    with open(plain, "w", encoding="utf-8") as file:
        file.write("not a folder\n")
    usage = [
        [], [""], ["nonsense"], ["--nonsense"], ["-"], ["--"], ["serve"], ["serve", "--data"],
        ["serve", "--data", empty, "extra"], ["serve", "--data", empty, "--mqtt", "nonsense"],
        ["serve", "--data", empty, "--mqtt", "127.0.0.1:65536"],
        ["serve", "--data", empty, "--mqtt", "127.0.0.1:-1"], ["serve", "--data", empty, "--mqtt", ""],
        ["serve", "--data", empty, "--mqtt", ":::::"],
        ["topic"], ["topic", "nonsense"], ["topic", "create", "--data", empty],
        ["topic", "create", "--data", empty, "a", "--partitions", "0"],
        ["topic", "create", "--data", empty, "a", "--partitions", "-7"],
        ["topic", "create", "--data", empty, "a", "--partitions", "99999999999999999999"],
        ["topic", "create", "--data", empty, "a", "--partitions", "three"],
        ["topic", "create", "--data", empty, "a", "--config", "segment.bytes"],
        ["topic", "alter", "--data", empty, "a"], ["produce", "--data", empty],
        ["produce", "--data", empty, "a", "-p", "x"], ["produce", "--data", empty, "a", "-k", "a", "-K", "b"],
        ["produce", "--data", empty, "a", "-K", ""],
        ["produce", "--data", empty, "a", "--durability", "perhaps"],
        ["consume", "--data", empty], ["consume", "--data", empty, "a", "-o", "nonsense"],
        ["consume", "--data", empty, "a", "-o", "s@"], ["consume", "--data", empty, "a", "-o", "s@tomorrow"],
        ["consume", "--data", empty, "a", "-o", "99999999999999999999"],
        ["consume", "--data", empty, "a", "-c", "-1"], ["consume", "--data", empty, "a", "-f", "%q"],
        ["consume", "--data", empty, "a", "-f", "%"], ["consume", "--data", empty, "a", "-f", "\\"],
        ["consume", "--data", empty, "a", "-f", "\\xZZ"],
        ["consume", "--data", empty, "a", "--json", "-f", "%s"],
        ["consume", "--data", empty, "a", "--reset", "sometimes"], ["dump"], ["datagen"],
        ["datagen", "volcanoes"], ["datagen", "thermometers", "--devices", "0"],
        ["datagen", "thermometers", "--data", empty], ["datagen", "thermometers", "--rate", "-1"],
        [b"\xff\xfe"], [b"\xff\xfe", b"\x01\x02\x1b[2J"], ["x" * 100_000],
        ["serve", "--data", empty, "--" + "y" * 5000],
    ]
    failed = [
        ["consume", "--data", empty, "a", "-e"], ["consume", "--data", plain, "a", "-e"],
        ["consume", "--data", os.path.join(context.folder, "nowhere"), "a", "-e"],
        ["consume", "--data", "/dev/null", "a", "-e"], ["consume", "--data", "", "a", "-e"],
        ["consume", "--data", "x" * 5000, "a", "-e"], ["topic", "list", "--data", empty],
        ["serve", "--data", os.path.join(context.folder, "far"), "--mqtt", "192.0.2.1:0"],
        ["serve", "--data", os.path.join(context.folder, "no-address"), "--mqtt", "999.0.0.1:1883"],
        ["produce", "--data", empty, "a"], ["serve", "--data", plain, "--mqtt", "127.0.0.1:0"],
        ["serve", "--data", "", "--mqtt", "127.0.0.1:0"],
        ["serve", "--data", "/proc/nowhere", "--mqtt", "127.0.0.1:0"],
        ["topic", "create", "--data", os.path.join(plain, "below"), "a"],
        ["dump", os.path.join(context.folder, "nowhere")], ["dump", plain], ["dump", "/dev/null"],
    ]
    store = os.path.join(context.folder, "cli-store")
    run_ok("topic", "create", "--data", store, "a")
    in_store = [
        ["topic", "create", "--data", store, name] for name in
        ("", ".", "..", "../up", "a/b", "sp ace", "x" * 250, "new\nline", b"\xff\xfe", "ü")
    ] + [
        ["topic", "create", "--data", store, "a"], ["topic", "delete", "--data", store, "nowhere"],
        ["topic", "describe", "--data", store, "nowhere"],
        ["topic", "alter", "--data", store, "a", "--config", "nonsense=1"],
        ["topic", "alter", "--data", store, "a", "--config", "segment.bytes=lots"],
        ["topic", "alter", "--data", store, "a", "--config", "segment.bytes=-1"],
        ["topic", "alter", "--data", store, "a", "--config", "cleanup.policy=1"],
        ["topic", "alter", "--data", store, "a", "--config", "=1"],
        ["consume", "--data", store, "a", "-e", "-o", "17"],
        ["consume", "--data", store, "a", "-e", "-p", "7"],
        ["consume", "--data", store, "a", "-e", "-p", "-1"], ["consume", "--data", store, "nowhere", "-e"],
        ["produce", "--data", store, "a", "-p", "7"], ["produce", "--data", store, "nowhere"],
    ]

    def check(arguments, codes):
        clear_error(run(*arguments, stdin=b"line\n"), codes, f"tidemark {str(arguments)[:200]}")

    cases = [(f"command line {i}", lambda a=a: check(a, [2])) for i, a in enumerate(usage)]
    cases += [(f"command line, failing {i}", lambda a=a: check(a, [1])) for i, a in enumerate(failed)]

    def check_in_store():  # one after the other: a store has one user at a time
        for arguments in in_store:
            check(arguments, [1, 2])
        run_ok("produce", "--data", store, "a", stdin=b"still here\n")
        require(run_ok("consume", "--data", store, "a", "-e") == b"still here\n", "the store has suffered")

    return cases + [("command line, in a store", check_in_store)]


# --- The config ------------------------------------------------------------------------------

def config_cases(context):
    texts = {
        "unknown key": b"[mqtt]\nlisten_at = '127.0.0.1:0'\n",
        "unknown table": b"[nonsense]\na = 1\n",
        "wrong type": b"[mqtt]\nmax_connections = 'many'\n",
        "negative": b"[storage]\njournal_bytes = -1\n",
        "too large": b"[storage]\njournal_bytes = 99999999999999999999\n",
        "too large in words": b"[storage]\njournal_bytes = '99999999999999999999 TiB'\n",
        "float": b"[storage]\nmemory_bytes = 1e300\n",
        "too small": b"[storage]\njournal_bytes = 1\n",
        "twice": b"[storage]\nmemory_bytes = '8MiB'\nmemory_bytes = '9MiB'\n",
        "table as value": b"[storage]\nmemory_bytes = { a = 1 }\n",
        "array as table": b"storage = [1, 2, 3]\n",
        "unfinished": b"[storage\n",
        "unfinished text": b"[log]\nlevel = \"in",
        "not UTF-8": b"[log]\nlevel = \"\xff\xfe\"\n",
        "zeros": b"\0" * 4096,
        "deep": b"a = " + b"[" * 100_000,
        "deep table": b"[" + b".".join([b"a"] * 20_000) + b"]\n",
        "huge": b"#" * (2 << 20),
        "a binary": open(sys.executable, "rb").read(100_000),
        "not honoured": b"[[topic]]\nname = 'a'\nsettings = { \"cleanup.policy\" = 1 }\n",
        "setting unknown": b"[[topic]]\nname = 'a'\nsettings = { \"nonsense\" = 1 }\n",
        "bad topic name": b"[[topic]]\nname = '../up'\n",
        "topic twice": b"[[topic]]\nname = 'a'\n[[topic]]\nname = 'a'\n",
        "topic without name": b"[[topic]]\npartitions = 2\n",
        "partitions": b"[[topic]]\nname = 'a'\npartitions = 0\n",
        "bad filter": b"[[mqtt.route]]\nfilter = 'a/#/b'\ntopic = 'a'\n",
        "bad route topic": b"[[mqtt.route]]\nfilter = 'a/#'\ntopic = 'a/b'\n",
        "bad key": b"[mqtt]\nkey = 'level -1'\n",
        "open to all": b"[mqtt]\nlisten = '0.0.0.0:0'\n",
        "no address": b"[mqtt]\nlisten = 'everywhere'\n",
        "io engine": b"[storage]\nio_engine = 'steam'\n",
    }
    rng = context.random("config")
    for i in range(5):
        texts[f"random {i}"] = rng.randbytes(rng.randrange(1, 3000))
    good = b"[storage]\nmemory_bytes = '8MiB'\n[mqtt]\nlisten = '127.0.0.1:0'\n[log]\nlevel = 'info'\n"
    for i in range(10):
        broken = bytearray(good)
        broken[rng.randrange(len(broken))] = rng.randrange(256)
        texts[f"one byte {i}"] = bytes(broken)

    def check(name, text):
        folder = context.new_folder()
        path = os.path.join(folder, "config.toml")
        if text is None:
            os.mkdir(path)
        else:
            with open(path, "wb") as file:
                file.write(text)
        # What happens to be a good config is ended by SIGTERM at once.
        may_start = name.startswith(("one byte", "random"))
        gateway = Gateway(os.path.join(folder, "data"), path, mqtt=None)
        try:
            if gateway.started():
                require(may_start, f"config '{name}' was accepted")
                gateway.stop()
                return
            code, text = gateway.process.returncode, gateway.text()
            require(code in (1, 2), f"config '{name}': code {code}: {text[-500:]}")
            require("tidemark: " in text and "std::" not in text,
                    f"config '{name}': no clear error: {text[-500:]}")
        finally:
            gateway.abandon()

    cases = [(f"config, {name}", lambda n=name, t=text: check(n, t)) for name, text in texts.items()]
    cases.append(("config, a folder", lambda: check("a folder", None)))

    def check_missing():
        missing = os.path.join(context.folder, "no.toml")
        done = run("serve", "--data", context.new_folder(), "--config", missing)
        clear_error(done, [1, 2], "a config that is not there")

    return cases + [("config, missing", check_missing)]
