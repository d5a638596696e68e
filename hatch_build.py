"""The build hook: with HELI_COMPILE=1, the way of a call through the gateway is compiled to machine code.

The modules below are ordinary typed Python, and run as such where they are not compiled. mypyc makes C of
them, which takes a C compiler and half a minute, and lets a gateway worker carry half as much again.
"""

import os
import shutil
import sys
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

GATEWAY = (
    "call caller capture connection counters faults framing gateway headers heads identity masking outgoing"
    " recorder recording replies upstream"
)
SPOOL = "frames group_writer segments sequences"
COMPILED = [
    *(f"heli/proxy/gateway/{name}.py" for name in GATEWAY.split()),
    *(f"heli/proxy/spool/{name}.py" for name in SPOOL.split()),
]
"""Modules without msgspec's records, which mypyc cannot compile."""


class CompilingHook(BuildHookInterface):
    """Compiles when asked to; otherwise the wheel is plain Python."""

    @property
    def is_asked(self) -> bool:
        return self.target_name == "wheel" and os.environ.get("HELI_COMPILE", "") not in ("", "0")

    def dependencies(self) -> list[str]:
        return (
            ["mypy[mypyc]>=1.18,<3", "setuptools>=75", "msgspec>=0.20", "httptools>=0.7"]
            if self.is_asked
            else []
        )

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        if not self.is_asked or version == "editable":
            return
        output = Path(self.root) / "build" / "compiled"
        shutil.rmtree(output, ignore_errors=True)
        for file in compile_modules(Path(self.root), output):
            build_data["force_include"][str(file)] = str(file.relative_to(output))
        build_data["pure_python"] = False
        build_data["infer_tag"] = True


def compile_modules(root: Path, output: Path) -> list[Path]:
    """Compile below `output`; return the shared libraries, at the places where Python looks for them."""
    from mypyc.build import mypycify
    from setuptools import Distribution

    os.chdir(root)
    options = ["--config-file=", "--ignore-missing-imports", "--follow-imports=silent", *COMPILED]
    extensions = mypycify(
        options, group_name="heli", opt_level="3", debug_level="0", target_dir=str(output / "c")
    )
    distribution = Distribution({"name": "heli", "ext_modules": extensions})
    command = distribution.get_command_obj("build_ext")
    command.build_lib, command.build_temp = str(output), str(output / "objects")  # type: ignore[attr-defined]
    command.ensure_finalized()
    command.run()
    return [file for file in sorted(output.rglob("*")) if file.suffix in (".so", ".pyd")]


if __name__ == "__main__":  # to see what mypyc says: python hatch_build.py FOLDER
    print(*compile_modules(Path(__file__).parent, Path(sys.argv[1]).absolute()), sep="\n")
