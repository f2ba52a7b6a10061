# SPDX-License-Identifier: MIT
# Free memory of a page allocator against the bytes allocated. The table stands in clock.gp.
DATA = ARG1; OUT = ARG2; TERMINAL = ARG3; TITLE = ARG4; SUBTITLE = ARG5; CAPTION = ARG6
FOLDER = ARG0[1:strlen(ARG0) - strlen("frag-time.gp")]
X_LABEL = "bytes allocated since the pass began"
PERCENT_MAX = 100
load FOLDER."clock.gp"
