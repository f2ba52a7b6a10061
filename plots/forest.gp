# SPDX-License-Identifier: MIT
# Ratios to the baseline with intervals and verdicts. The table stands in ratios.gp.
DATA = ARG1; OUT = ARG2; TERMINAL = ARG3; TITLE = ARG4; SUBTITLE = ARG5; CAPTION = ARG6
BARS = 0
FOLDER = ARG0[1:strlen(ARG0) - strlen("forest.gp")]
load FOLDER."ratios.gp"
