# SPDX-License-Identifier: MIT
# Figures of the workload's own as bars. The table stands in bars.gp.
DATA = ARG1; OUT = ARG2; TERMINAL = ARG3; TITLE = ARG4; SUBTITLE = ARG5; CAPTION = ARG6
FOLDER = ARG0[1:strlen(ARG0) - strlen("kmap.gp")]
load FOLDER."bars.gp"
