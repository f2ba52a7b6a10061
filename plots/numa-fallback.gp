# SPDX-License-Identifier: MIT
# A node that runs out of memory. The table stands in clock.gp; its bytes are per cent here.
DATA = ARG1; OUT = ARG2; TERMINAL = ARG3; TITLE = ARG4; SUBTITLE = ARG5; CAPTION = ARG6
FOLDER = ARG0[1:strlen(ARG0) - strlen("numa-fallback.gp")]
X_LABEL = "asked for, of the preferred node's memory"
X_PERCENT = 1
PERCENT_MAX = 100
load FOLDER."clock.gp"
