# SPDX-License-Identifier: MIT
# Shares of the samples above p99.9 by cause: a bar for each allocator, alloc beside free.
# Index 1: panel, series, samples, then for each cause the share up to its end, per cent.
# 2: panel titles. 3: causes.
DATA = ARG1; OUT = ARG2; TERMINAL = ARG3; TITLE = ARG4; SUBTITLE = ARG5; CAPTION = ARG6

set datafile separator tab
array PANEL_TITLE[20]
PANELS = 0
stats DATA index 2 using (PANELS = PANELS + 1, PANEL_TITLE[PANELS] = strcol(1), 1) nooutput
NR_SERIES = 0
stats DATA index 0 using (NR_SERIES = NR_SERIES + 1, 1) nooutput
HEIGHT = int((PANELS + 1) / 2) * (NR_SERIES * 24 + 62) + 180
HEIGHT = HEIGHT < 420 ? 420 : HEIGHT
load ARG0[1:strlen(ARG0) - strlen("tail-causes.gp")]."common.gp"

# The allocator's doing in strong colours, the machine's in grey, what is not known pale.
array COLOUR[6] = [0xe69f00, 0x0072b2, 0x009e73, 0x555555, 0x999999, 0xcccccc]
KEYS = 0
stats DATA index 3 using (KEYS = KEYS + 1, KEY_TEXT[KEYS] = strcol(1), 1) nooutput
do for [i = 1:KEYS] {
    set linetype (200 + i) lc rgb COLOUR[i] pt 5 ps 1.9 * POINT_SCALE lw 0.1
    KEY_TYPE[i] = 200 + i
}
NAMES_PX = NAME_CHARS * 7.4 + 20
NAMES_PX = NAMES_PX > 300 ? 300 : NAMES_PX
@set_own_key
RIGHT = RIGHT - wpx(44) # the numbers at the bars' ends

LEFT = wpx(NAMES_PX + 20)
GAP_X = wpx(76)
GAP_Y = px(56)
PANEL_BOTTOM = BOTTOM + px(46)
@panels_layout
set multiplot
set xrange [0:100]
set yrange [SERIES + 0.6:0.4]
set xtics ("0" 0, "25" 25, "50" 50, "75" 75, "100 %%" 100)
set ytics scale 0
set grid noytics
set style fill solid 1 noborder
ROW_PX = panel_h(0) * HEIGHT / (SERIES + 0.2)
HALF = 10.0 / ROW_PX < 0.38 ? 10.0 / ROW_PX : 0.38
count(n) = n >= 1e6 ? sprintf("%.3g M", n / 1e6) : n >= 1e4 ? sprintf("%.3g k", n / 1e3) : sprintf("%d", n)
do for [p = 1:PANELS] {
    set lmargin at screen panel_left(p); set rmargin at screen panel_right(p)
    set tmargin at screen panel_top(p); set bmargin at screen panel_bottom(p)
    set label 1 PANEL_TITLE[p] at graph 0, screen panel_top(p) + px(12) left textcolor rgb TEXT
    set ytics () textcolor rgb TEXT
    # Both panels of a row share the names at its left.
    do for [i = 1:SERIES] {
        NAME = p % 2 == 1 ? S_NAME[i] : ""
        set ytics add (NAME i)
    }
    plot for [c = KEYS:1:-1] DATA index 1 using ($1 == p ? column(3 + c) / 2 : NaN):2:(column(3 + c) / 2):(HALF) \
            with boxxyerror lc rgb COLOUR[c], \
        DATA index 1 using ($1 == p ? 100 : NaN):2:(count($3)) with labels left offset character 0.6, 0 textcolor rgb MUTED font SMALL_FONT
    do for [l = 1001:1003] { unset label l }
}
@draw_key
unset multiplot
