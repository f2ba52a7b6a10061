# SPDX-License-Identifier: MIT
# Free pages between the watermarks, and pages reclaimed: two panels for each allocator.
# Index 1: panel, 1 in the first block, seconds, free pages, min, low, high, pages taken by
# kswapd, directly; an empty line after each block.
DATA = ARG1; OUT = ARG2; TERMINAL = ARG3; TITLE = ARG4; SUBTITLE = ARG5; CAPTION = ARG6

set datafile separator tab
PANELS = 0
stats DATA index 0 using (PANELS = PANELS + 1, 1) nooutput
HEIGHT = PANELS * 225 + 190
HEIGHT = HEIGHT < 460 ? 460 : HEIGHT
load ARG0[1:strlen(ARG0) - strlen("reclaim-time.gp")]."common.gp"

# As long as the longest of the first blocks: those that were held up by others of the
# machine's work would press it into a corner.
stats DATA index 1 using ($2 == 1 ? $3 : NaN) nooutput
T_MAX = STATS_max > 0 ? STATS_max : 1
stats DATA index 1 using ($3 <= T_MAX ? ($8 > $9 ? $8 : $9) : NaN) nooutput
TAKEN_MAX = STATS_max > 0 ? STATS_max : 1
# Marks differ by variant, and so does the axis.
array FREE_MAX[100]
do for [p = 1:PANELS] {
    stats DATA index 1 using ($1 == p && $3 <= T_MAX ? ($4 > $7 ? $4 : $7) : NaN) nooutput
    FREE_MAX[p] = STATS_max
}

KEYS = 6
KEY_TEXT[1] = "free pages"; KEY_TEXT[2] = "high"; KEY_TEXT[3] = "low"; KEY_TEXT[4] = "min"
KEY_TEXT[5] = "kswapd"; KEY_TEXT[6] = "direct reclaim"
set linetype 201 lc rgb "#444444" lw 2 pt 7 ps 0.5
set linetype 202 lc rgb "#009e73" lw 1.5 dashtype 4 pt -1
set linetype 203 lc rgb "#e69f00" lw 1.5 dashtype 2 pt -1
set linetype 204 lc rgb "#b00020" lw 1.5 dashtype 3 pt -1
set linetype 205 lc rgb "#0072b2" lw 2.2 pt -1
set linetype 206 lc rgb "#cc3311" lw 2.2 pt -1
do for [i = 1:6] { KEY_TYPE[i] = 200 + i }
@set_own_key

COLUMNS = 2
ROWS = PANELS
GAP_X = wpx(96)
LEFT = wpx(84)
pages(n) = n >= 1e6 ? sprintf("%.3gM", n / 1e6) : n >= 1e4 ? sprintf("%.3gk", n / 1e3) : sprintf("%.0f", n)
# A step of 1, 2 or 5 times a power of ten, some four to an axis; pages are whole.
nice(top) = top < 4 ? 1 : (E = 10.0**floor(log10(top / 4.0)), M = top / 4.0 / E, M < 1.5 ? E : M < 3.5 ? 2 * E : M < 7.5 ? 5 * E : 10 * E)
set multiplot
set xrange [0:T_MAX]
do for [p = 1:PANELS] {
    do for [side = 1:2] {
        q = 2 * (p - 1) + side
        set lmargin at screen panel_left(q); set rmargin at screen panel_right(q)
        set tmargin at screen panel_top(q); set bmargin at screen panel_bottom(q)
        NAME = S_NAME[p].(side == 1 ? "" : ": pages taken back")
        set label 1 NAME at graph 0, screen panel_top(q) + px(12) left textcolor rgb TEXT
        BELOW = p == PANELS ? "seconds since the memory pass began" : ""
        set xlabel BELOW
        MAX = side == 1 ? FREE_MAX[p] : TAKEN_MAX
        set yrange [0:MAX * 1.06]
        STEP = nice(MAX)
        set ytics ()
        do for [t = 0:12] { if (STEP * t <= MAX * 1.06) { set ytics add (pages(STEP * t) STEP * t) } }
        if (side == 1) {
            plot DATA index 1 using ($1 == p ? $3 : NaN):4 with points pt 7 ps 0.35 * POINT_SCALE lc rgb "#aaaaaa", \
                DATA index 1 using ($1 == p && $2 == 1 ? $3 : NaN):4 with linespoints pt 7 ps 0.5 * POINT_SCALE lw 1.8 lc rgb S_COLOUR[p], \
                for [m = 0:2] DATA index 1 using ($1 == p && $2 == 1 ? $3 : NaN):(column(7 - m)) with lines linetype (202 + m)
        } else {
            plot for [m = 0:1] DATA index 1 using ($1 == p && $2 == 0 ? $3 : NaN):(column(8 + m)) with lines lw 1 lc rgb (m == 0 ? "#a9cbe3" : "#ecb9ad"), \
                for [m = 0:1] DATA index 1 using ($1 == p && $2 == 1 ? $3 : NaN):(column(8 + m)) with lines linetype (205 + m)
        }
        do for [l = 1001:1003] { unset label l }
    }
}
@draw_key
unset multiplot
