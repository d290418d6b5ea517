"""The far end of `mmbench.baselines.remote.client`: one model behind JSON lines on stdin and stdout.

Run as `python -m mmbench.baselines.remote.worker NAME` in the environment where the model's own libraries are. One
object a line: `{"id", "op", "args"}` in; `{"id", "ok": true, "result"}` or `{"id", "ok": false, "error", "trace"}` out.
Needs numpy and Pillow beside the model's own packages.
"""

from __future__ import annotations

import json
import os
import sys
import traceback
from pathlib import Path
from typing import Any, TextIO

from mmbench.baselines.contract import Baseline
from mmbench.baselines.registry import create
from mmbench.baselines.remote import wire
from mmbench.errors import MMBenchError


def answer(model: Baseline, op: str, args: dict[str, Any]) -> Any:
    """The result of one operation. Raises KeyError for an unknown one."""
    if op == "describe":
        return {
            "name": model.name,
            "licence": model.licence,
            "versions": model.versions(),
            "kind": model.kind,
            "variants": list(model.variants),
            "tiny_variants": list(model.tiny_variants),
            "recognisers": {name: list(model.recognisers(name)) for name in model.variants},
            "prompt_kind": model.prompt_kind,
            "edition": model.edition,
            "needs_trigger": model.needs_trigger,
            "native": {
                name: wire.native_to_json(model.native(name)) for name in (*model.variants, *model.tiny_variants)
            },
        }
    if op == "options":
        given = args["options"]
        return {"resolved": model.resolve_options(given), "changed": model.changed_options(given)}
    if op == "check":
        return model.check(wire.request_from_json(args["request"]), args["variant"])
    if op == "require":
        return model.require(Path(args["weights_dir"]), args["variant"])
    if op == "weights":
        return model.weights_in_use(Path(args["weights_dir"]), args["variant"])
    if op == "load":
        return model.load(args["device"], args["dtype"], args["variant"], Path(args["weights_dir"]))
    if op == "generate":
        return wire.video_to_json(model.generate(wire.request_from_json(args["request"])), Path(args["frames"]))
    if op == "parameters":
        return wire.parameters_to_json(model.parameters())
    if op == "close":
        return model.close()
    raise KeyError(op)


def serve(name: str, lines: TextIO, out: TextIO) -> None:
    """Answer every line of `lines` until it ends. An error in one operation is an answer, not the end."""
    model: Baseline | None = None
    for line in lines:
        message = json.loads(line)
        reply: dict[str, Any] = {"id": message["id"]}
        try:
            if model is None:
                model = create(name, message["args"].get("prompt_kind"))
            reply |= {"ok": True, "result": answer(model, message["op"], message["args"])}
        except Exception as error:  # every error goes to the parent, which raises it
            cause = error if isinstance(error, MMBenchError) else None
            reply |= {
                "ok": False,
                "error": {
                    "type": type(error).__name__,
                    "message": cause.message if cause else str(error),
                    "remedy": cause.remedy if cause else "",
                },
                "trace": traceback.format_exc(),
            }
        out.write(json.dumps(reply) + "\n")
        out.flush()


def main() -> None:
    """Keep the real stdout for the protocol and send everything that libraries print to stderr."""
    protocol = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    if ":" in sys.argv[1]:  # a class of the user's own; else what lies in the current folder is not code
        sys.path.append(str(Path.cwd()))
    serve(sys.argv[1], sys.stdin, protocol)


if __name__ == "__main__":
    main()
