# SPDX-License-Identifier: MIT
# A row for each cell, a panel for each allocator, for forest.gp and ablation.gp, which set
# BARS (1: bars from 1 on) and FOLDER.
# Index 1: row, label. 2: panel, row, ratio, low, high, verdict (0 faster, 1 slower, 2 same,
# 3 cannot tell), 1 where the ratio is beyond the axis, text there, text beside. 3: panel,
# tally of verdicts. 4: ends of the axis, upper end of the equivalence band.
set datafile separator tab
array ROW[50]
NR_ROWS = 0
ROW_CHARS = 0
stats DATA index 1 using (NR_ROWS = NR_ROWS + 1, ROW[NR_ROWS] = strcol(2), \
    ROW_CHARS = (strlen(ROW[NR_ROWS]) > ROW_CHARS ? strlen(ROW[NR_ROWS]) : ROW_CHARS), 1) nooutput
PANELS = 0
stats DATA index 0 using (PANELS = PANELS + 1, 1) nooutput
array TALLY[10]
stats DATA index 3 using (TALLY[int($1)] = strcol(2), 1) nooutput
HEIGHT = 22 * NR_ROWS + 230
HEIGHT = HEIGHT < 380 ? 380 : HEIGHT
WIDTH = PANELS > 3 ? 1500 : 1200
load FOLDER."common.gp"
LOW = 0.9; HIGH = 1.1; BAND = 1.015
stats DATA index 4 using (LOW = $1, HIGH = $2, BAND = $3, 1) nooutput

array VERDICT[4] = ["faster", "slower", "same", "cannot tell"]
array COLOUR[4] = [0x0072b2, 0xd55e00, 0x444444, 0x888888]
array POINT[4] = [7, 5, 13, 6]
KEYS = 4
do for [v = 1:4] {
    set linetype (200 + v) lc rgb COLOUR[v] pt POINT[v] ps 1.0 * POINT_SCALE lw 1.6
    KEY_TEXT[v] = VERDICT[v]
    KEY_TYPE[v] = 200 + v
}
@set_own_key

LABELS_PX = ROW_CHARS * 7.4 + 20
LABELS_PX = LABELS_PX > 400 ? 400 : LABELS_PX
# One or two panels leave room for the figures themselves.
TEXT_PX = PANELS <= 2 ? 160 : 8
X0 = wpx(LABELS_PX + 20)
GAP = wpx(26)
W = (RIGHT - X0 - GAP * (PANELS - 1)) / PANELS
set multiplot
set tmargin at screen TOP - px(44)
set bmargin at screen BOTTOM + px(66)
set logscale x
set xrange [LOW:HIGH]
set yrange [NR_ROWS + 0.5:0.5]
set border 1
set ytics scale 0
set grid noytics
set style fill transparent solid 0.35 noborder
# Tics by precedence, each where it keeps 46 pixels from those before it.
CANDIDATES = "1 0.1 10 0.01 100 0.001 1000 0.5 2 0.2 5 0.05 0.02 20 50 0.7 1.5 0.8 1.25 0.9 1.1 0.95 1.05 0.3 3 0.98 1.02 0.15 7"
APART = 46.0 * log(HIGH / LOW) / (W * WIDTH - TEXT_PX)
array TIC[30]
TICS_SET = 0
do for [c in CANDIDATES] {
    FREE = (c + 0 >= LOW && c + 0 <= HIGH)
    do for [t = 1:TICS_SET] { FREE = FREE && abs(log(c) - log(TIC[t])) >= APART }
    if (FREE) { TICS_SET = TICS_SET + 1; TIC[TICS_SET] = c + 0 }
}
set xtics ()
do for [t = 1:TICS_SET] { set xtics add (sprintf("%g×", TIC[t]) TIC[t]) }
set label 3 "time per operation, ratio to the baseline (logarithmic)" at screen (X0 + RIGHT - wpx(TEXT_PX)) / 2, screen BOTTOM + px(20) center textcolor rgb TEXT
do for [p = 1:PANELS] {
    set lmargin at screen X0 + (p - 1) * (W + GAP)
    set rmargin at screen X0 + (p - 1) * (W + GAP) + W - wpx(TEXT_PX)
    # Variants of one allocator are told apart by their options.
    COLON = BARS ? strstrt(S_NAME[p], ":") : 0
    TITLE = S_NAME[p][COLON + 1:strlen(S_NAME[p])]
    TITLE_PX = W * WIDTH + 18
    TITLE_FONT = strlen(TITLE) * 8.2 > TITLE_PX ? SMALL_FONT : ""
    TITLE = strlen(TITLE) * 6.9 > TITLE_PX ? TITLE[1:int(TITLE_PX / 6.9) - 1] . "…" : TITLE
    set label 1 TITLE at graph 0, screen TOP - px(8) left textcolor rgb TEXT font TITLE_FONT
    set label 2 TALLY[p] at graph 0, screen TOP - px(28) left textcolor rgb MUTED font SMALL_FONT
    set ytics () textcolor rgb TEXT
    do for [r = 1:NR_ROWS] {
        NAME = p == 1 ? ROW[r] : ""
        set ytics add (NAME r)
        if (r % 2 == 1) {
            set object r rectangle from graph 0, first r - 0.5 to graph 1, first r + 0.5 behind \
                fillcolor rgb "#f4f4f6" fillstyle solid 1 noborder
        }
    }
    set object 100 rectangle from first 1 / BAND, graph 0 to first BAND, graph 1 behind \
        fillcolor rgb "#cfe8d5" fillstyle solid 1 noborder
    set arrow 1 from 1, graph 0 to 1, graph 1 nohead lw 1.4 lc rgb "#444444" back
    # What lies beyond the axis is told beside its interval, or the part of it that is seen.
    plot for [v = 1:(BARS ? 4 : 0)] DATA index 2 using ($1 == p && $6 == v - 1 ? $3 : NaN):2:(1):3:($2 - 0.3):($2 + 0.3) \
            with boxxyerror lc rgb COLOUR[v], \
        for [v = 1:4] DATA index 2 using ($1 == p && $6 == v - 1 ? $3 : NaN):2:4:5 \
            with xerrorbars lc rgb COLOUR[v] lw 1.5 pt -1, \
        for [v = 1:4] DATA index 2 using ($1 == p && $6 == v - 1 && $7 == 0 ? $3 : NaN):2 \
            with points pt POINT[v] ps 0.9 * POINT_SCALE lw 1.4 lc rgb COLOUR[v], \
        DATA index 2 using ($1 == p && $7 == 1 && $3 < 1 ? $5 : NaN):2:8 with labels left offset character 0.4, 0 textcolor rgb TEXT font SMALL_FONT, \
        DATA index 2 using ($1 == p && $7 == 1 && $3 > 1 ? $4 : NaN):2:8 with labels right offset character -0.4, 0 textcolor rgb TEXT font SMALL_FONT, \
        DATA index 2 using ($1 == p && PANELS <= 2 ? HIGH : NaN):2:9 \
            with labels left offset character 0.8, 0 textcolor rgb TEXT font SMALL_FONT
    unset label 3
    do for [l = 1001:1003] { unset label l }
}
@draw_key
unset multiplot
