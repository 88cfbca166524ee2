"""Small files with many pixels."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path


def bomb(path: Path, width: int = 20000, height: int = 20000) -> Path:
    """A PNG of zeros, which takes about a byte per thousand pixels."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return (
            struct.pack('>I', len(data)) + kind + data + struct.pack('>I', zlib.crc32(kind + data))
        )

    packer, row = zlib.compressobj(9), bytes(width // 8 + 2)
    rows = b''.join([packer.compress(row) for _ in range(height)] + [packer.flush()])
    header = chunk(b'IHDR', struct.pack('>IIBBBBB', width, height, 1, 0, 0, 0, 0))
    content = b'\x89PNG\r\n\x1a\n' + header + chunk(b'IDAT', rows) + chunk(b'IEND', b'')
    path.write_bytes(content)
    assert path.stat().st_size < 60_000
    return path
