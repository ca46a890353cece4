"""Writes a tiny T5 of version 1.1 (gated GELU, an output matrix of its own), as the generator of tiny_t5 does.

usage: python make.py      (needs torch, transformers, safetensors)
"""

import importlib.util
import pathlib

here = pathlib.Path(__file__).parent
spec = importlib.util.spec_from_file_location("tiny_t5", here.parent / "tiny_t5" / "make.py")
tiny_t5 = importlib.util.module_from_spec(spec)
spec.loader.exec_module(tiny_t5)
tiny_t5.main(here, 32, False, "gated-gelu")
