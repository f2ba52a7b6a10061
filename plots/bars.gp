# SPDX-License-Identifier: MIT
# Figures as bars, for frag.gp, reclaim.gp, colour.gp and kmap.gp, which set FOLDER.
# Index 1: row, number of its series (0: the heading of a cell), text. 2: panel, row, series,
# value, low, high, text beside. 3: panel, end of its axis, title.
set datafile separator tab
array ROW_SERIES[100]
array ROW[100]
NR_ROWS = 0
ROW_CHARS = 0
stats DATA index 1 using (NR_ROWS = NR_ROWS + 1, ROW_SERIES[NR_ROWS] = $2, ROW[NR_ROWS] = strcol(3), \
    ROW_CHARS = (strlen(ROW[NR_ROWS]) > ROW_CHARS ? strlen(ROW[NR_ROWS]) : ROW_CHARS), 1) nooutput
array AXIS[20]
array PANEL_TITLE[20]
PANELS = 0
stats DATA index 3 using (PANELS = PANELS + 1, AXIS[PANELS] = $2, PANEL_TITLE[PANELS] = strcol(3), 1) nooutput
HEIGHT = 23 * NR_ROWS + 210
HEIGHT = HEIGHT < 300 ? 300 : HEIGHT
WIDTH = PANELS > 3 ? 1500 : 1250
load FOLDER."common.gp"

LABELS_PX = ROW_CHARS * 7.6 + 40
LABELS_PX = LABELS_PX > 460 ? 460 : LABELS_PX
X0 = wpx(LABELS_PX)
GAP = wpx(30)
W = (1 - wpx(30) - X0 - GAP * (PANELS - 1)) / PANELS
# Room for the text beside the longest bar.
TEXT_PX = 74.0
set multiplot
set tmargin at screen TOP - px(26)
set bmargin at screen BOTTOM + px(36)
set yrange [NR_ROWS + 0.5:0.5]
set border 2
set ytics scale 0
set grid noytics noxtics
unset xtics
set style fill solid 0.75 noborder
do for [r = 1:NR_ROWS] {
    if (ROW_SERIES[r] == 0) {
        set label (100 + r) ROW[r] at screen wpx(24), first r left textcolor rgb TEXT
    }
}
do for [p = 1:PANELS] {
    set lmargin at screen X0 + (p - 1) * (W + GAP)
    set rmargin at screen X0 + (p - 1) * (W + GAP) + W
    set xrange [0:AXIS[p] / (1 - TEXT_PX / (W * WIDTH))]
    set label 1 PANEL_TITLE[p] at graph 0, screen TOP - px(8) left textcolor rgb TEXT
    set ytics () textcolor rgb MUTED
    do for [r = 1:NR_ROWS] {
        if (ROW_SERIES[r] > 0) {
            NAME = p == 1 ? ROW[r] : ""
            set ytics add (NAME r)
        }
    }
    plot for [i = 1:SERIES] DATA index 2 using ($1 == p && $3 == i ? $4 / 2 : NaN):2:($4 / 2):(0.34) \
            with boxxyerror lc rgb S_COLOUR[i], \
        DATA index 2 using ($1 == p ? $4 : NaN):2:5:6 with xerrorbars lc rgb "#222222" lw 1.2 pt -1, \
        DATA index 2 using ($1 == p ? ($6 > $4 ? $6 : $4) : NaN):2:7 \
            with labels left offset character 0.7, 0 textcolor rgb TEXT font SMALL_FONT
    do for [r = 1:NR_ROWS] { unset label (100 + r) }
    do for [l = 1001:1003] { unset label l }
}
unset multiplot
