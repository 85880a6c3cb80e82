"""A check of anybody's metric code: which definition does it compute, and is it free of known defects?

    python -m benchmark.conformance path/to/file.py:function --kind ld|lvd|ssim|psnr|frechet

The function is run in a process of its own (`runner`, `child`) on probe inputs (`kinds`). Its values are
compared with a catalogue of definitions, sound and broken, written in plain NumPy (`definitions`), so that a
function which differs from the standard one is told in what. Then come closed forms, invariances, monotone
responses and degenerate inputs (`ladder`). `verdict` holds what came out, and its words.
"""
