"""Master parameters that leave no rule idle: ties, extremes, both signs, nothing at its start value.

At the start gamma is 1, beta, bias and run_mu are 0 and run_sigma is 1: a machine that forgot any of
them would still be right. This rewrites a run's `weights.npz` with other codes of the same shapes.
"""

import ast
import io
import random
import struct
import zipfile

MASTER_FRAC = 23
# name: (fraction bits of the quantiser that reads it, largest code, real range)
RULES = {
    "W": (7, (1 << 23) - 1, None),  # as the run has them, but for ties and extremes
    "bias": (12, (1 << 24) - 1, 1.0),
    "gamma": (6, (1 << 24) - 1, 1.5),
    "beta": (6, (1 << 24) - 1, 1.0),
    "run_mu": (15, (1 << 27) - 1, 0.5),
    "run_sigma": (15, (1 << 26) - 1, None),
}


def read_array(content):
    """(header as it stands, dtype, codes) of an .npy of 4-byte integers."""
    major = content[6]
    size, offset = (struct.unpack_from("<H", content, 8)[0], 10) if major == 1 else \
        (struct.unpack_from("<I", content, 8)[0], 12)
    header = ast.literal_eval(content[offset:offset + size].decode("latin1"))
    kind = {"<i4": "i", "<u4": "I"}[header["descr"]]
    data = content[offset + size:]
    return content[:offset + size], kind, list(struct.unpack(f"<{len(data) // 4}{kind}", data))


def draw(rng, name, code, scale):
    """One master code. A quarter are ties for the quantiser that reads them."""
    frac, largest, reach = RULES[name]
    if name == "run_sigma":
        code = int(2.0 ** rng.uniform(-3, 1) * scale * (1 << MASTER_FRAC))
        if rng.random() < 1 / 8:
            # 4.0: the only root whose reciprocal rounds up to the next power of two.
            code = rng.choice([4 << MASTER_FRAC, 1 << 8, 0])
    elif reach is not None:
        code = int(rng.uniform(-reach, reach) * scale * (1 << MASTER_FRAC))
    else:
        code = int(code * scale)
        if rng.random() < 1 / 32:
            code = rng.choice([-largest, largest])
    if rng.random() < 1 / 4:
        step = 1 << (MASTER_FRAC - frac)
        code = code // step * step + step // 2
    return max(0 if name == "run_sigma" else -largest, min(largest, code))


def rewrite(source, destination, seed, scale):
    """`scale`: factors by name ("gamma": 0.05), of the ranges above."""
    rng = random.Random(seed)
    packed = io.BytesIO()
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(packed, "w") as new:
        for entry in old.namelist():
            name = entry.removesuffix(".npy").rpartition(".")[2]
            header, kind, codes = read_array(old.read(entry))
            codes = [draw(rng, name, code, scale.get(name, 1.0)) for code in codes]
            info = zipfile.ZipInfo(entry)  # with the same date every time
            new.writestr(info, header + struct.pack(f"<{len(codes)}{kind}", *codes))
    destination.write_bytes(packed.getvalue())
