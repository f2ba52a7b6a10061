# SPDX-License-Identifier: MIT
# Ratios of variants to the plain allocator as bars. The table stands in ratios.gp.
DATA = ARG1; OUT = ARG2; TERMINAL = ARG3; TITLE = ARG4; SUBTITLE = ARG5; CAPTION = ARG6
BARS = 1
FOLDER = ARG0[1:strlen(ARG0) - strlen("ablation.gp")]
load FOLDER."ratios.gp"
