"""Master parameters that leave no rule idle: ties, extremes, both signs, nothing at its start value.

At the start gamma is 1, beta, bias, run_mu and the momenta are 0 and run_sigma is 1: a machine that
forgot any of them would still be right. This rewrites a run's `weights.npz` (training: `state.npz`)
with other codes of the same shapes.
"""

import ast
import io
import random
import struct
import zipfile

MASTER_FRAC, MOMENTUM_FRAC = 23, 12
# name: (fraction bits of the quantiser that reads it, largest code, real range)
RULES = {
    "W": (7, (1 << 23) - 1, None),  # as the run has them, but for ties and extremes
    "bias": (12, (1 << 24) - 1, 1.0),
    "gamma": (6, (1 << 24) - 1, 1.5),
    "beta": (6, (1 << 24) - 1, 1.0),
    "run_mu": (15, (1 << 27) - 1, 0.5),
    "run_sigma": (15, (1 << 26) - 1, None),
    "Accq": (MOMENTUM_FRAC, (1 << 12) - 1, 0.1),
}


def read_array(content):
    """(header as it stands, dtype, codes) of an .npy of integers."""
    major = content[6]
    size, offset = (struct.unpack_from("<H", content, 8)[0], 10) if major == 1 else \
        (struct.unpack_from("<I", content, 8)[0], 12)
    header = ast.literal_eval(content[offset:offset + size].decode("latin1"))
    kind = {"<i2": "h", "<i4": "i", "<u4": "I"}[header["descr"]]
    data = content[offset + size:]
    count = len(data) // struct.calcsize(kind)
    return content[:offset + size], kind, list(struct.unpack(f"<{count}{kind}", data))


def draw(rng, name, code, scale):
    """One master code. A quarter are ties for the quantiser that reads them."""
    frac, largest, reach = RULES[name]
    unit = 1 << (MOMENTUM_FRAC if name == "Accq" else MASTER_FRAC)
    if name == "run_sigma":
        code = int(2.0 ** rng.uniform(-3, 1) * scale * unit)
        if rng.random() < 1 / 8:
            # 4.0: the only root whose reciprocal rounds up to the next power of two. 1/8 less a
            # code: with eps a power of two.
            code = rng.choice([4 * unit, 1 << 8, 0, (1 << 20) - (1 << 8)])
    elif reach is not None:
        code = int(rng.uniform(-reach, reach) * scale * unit)
    else:
        code = int(code * scale)
        if rng.random() < 1 / 32 and scale != 0:
            code = rng.choice([-largest, largest])
    if rng.random() < 1 / 4 and scale != 0:
        step = unit >> frac
        code = code // step * step + step // 2
    return max(0 if name == "run_sigma" else -largest, min(largest, code))


def rewrite(source, destination, seed, scale):
    """`scale`: factors by name ("gamma": 0.05, "fc.W": 0), of the ranges above."""
    rng = random.Random(seed)
    packed = io.BytesIO()
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(packed, "w") as new:
        for entry in old.namelist():
            array = entry.removesuffix(".npy")
            name = array.rpartition(".")[2]
            factor = scale.get(array, scale.get(name, 1.0))
            header, kind, codes = read_array(old.read(entry))
            rule = "Accq" if name.startswith("Accq_") else name
            codes = [draw(rng, rule, code, factor) for code in codes]
            info = zipfile.ZipInfo(entry)  # with the same date every time
            new.writestr(info, header + struct.pack(f"<{len(codes)}{kind}", *codes))
    destination.write_bytes(packed.getvalue())
