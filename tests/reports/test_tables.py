from fusion_dfd.reports import tables

HEADER, ROWS = ["set", "AUC"], [["a|b_c", "50% & more"], [r"\x{1}~^$#", "0.9"]]


def test_markdown_escapes_what_would_end_a_cell():
    assert tables.markdown(HEADER, ROWS[:1]) == "| set | AUC |\n|---|---:|\n| a\\|b_c | 50% & more |"


def test_latex_escapes_what_it_would_act_on():
    assert tables.latex(HEADER, ROWS).splitlines() == [
        r"\begin{tabular}{lr}",
        r"\toprule",
        r"set & AUC \\",
        r"\midrule",
        r"a|b\_c & 50\% \& more \\",
        r"\textbackslash{}x\{1\}\textasciitilde{}\textasciicircum{}\$\# & 0.9 \\",
        r"\bottomrule",
        r"\end{tabular}",
    ]
