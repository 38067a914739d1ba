"""Cleans masks anew, without the networks that made them.

    python bin/postprocess.py --predictions masks --data data/kits19 --out cleaned \
        --postprocess components

`--predictions` holds `<case>_raw.nii.gz`, as `bin/infer.py --save_raw` writes them, and
`--data` their CTs. Each mask is written whole or not at all; a case that cannot be
cleaned is told in one line, the others go on, and the exit status is 2.
"""

from __future__ import annotations
