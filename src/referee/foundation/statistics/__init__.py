"""Pure functions over numbers: intervals, tests, effects, comparisons of models. This is the door.

Names are imported when first asked for: whoever needs the interval of a share
loads neither NumPy nor SciPy.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from referee.core.doors import open_door

if TYPE_CHECKING:
    from referee.foundation.statistics.agreement import (
        BinaryAgreement,
        Confusion,
        compute_agreement,
        compute_cohen_kappa,
    )
    from referee.foundation.statistics.best_set import (
        BestSet,
        BestSetStatistic,
        compute_best_set,
    )
    from referee.foundation.statistics.capture import (
        CaptureEstimate,
        estimate_by_chao,
        estimate_by_jackknife,
    )
    from referee.foundation.statistics.changes import (
        ChangePoint,
        compute_group_shift,
        compute_rank_sum_p,
        find_change_points,
    )
    from referee.foundation.statistics.comparison import (
        Comparison,
        ModelSummary,
        PairComparison,
        compare_models,
    )
    from referee.foundation.statistics.density import (
        WEIGHTINGS,
        AppCounts,
        compare_rankings,
        compute_density,
    )
    from referee.foundation.statistics.effects import (
        Dominance,
        compute_dominance,
        compute_paired_dominance,
        compute_shift,
    )
    from referee.foundation.statistics.flips import (
        FlipRate,
        compute_flip_rate,
    )
    from referee.foundation.statistics.fronts import (
        Front,
        compute_front,
    )
    from referee.foundation.statistics.intervals import (
        Interval,
        compute_share_interval,
    )
    from referee.foundation.statistics.missing import (
        MissingBounds,
        compute_difference_bounds,
        compute_mean_bounds,
    )
    from referee.foundation.statistics.multiplicity import (
        Adjustment,
        adjust_p_values,
    )
    from referee.foundation.statistics.opinions import (
        compute_topsis,
        compute_weighted_sum,
    )
    from referee.foundation.statistics.overlap import (
        Overlap,
        count_frequencies,
        count_overlaps,
    )
    from referee.foundation.statistics.permutation import (
        SignFlipTest,
        compute_sign_flip_test,
    )
    from referee.foundation.statistics.power import (
        DetectableDifference,
        Spread,
        compute_detectable_difference,
        compute_power,
        compute_templates_needed,
        estimate_spread,
    )
    from referee.foundation.statistics.proportions import (
        PairedOutcomes,
        compute_mcnemar_p,
        compute_paired_risk_difference,
        compute_risk_difference,
    )
    from referee.foundation.statistics.rankings import RankAgreement
    from referee.foundation.statistics.repeats import (
        compute_pass_all,
        compute_pass_any,
        compute_pass_rate,
    )
    from referee.foundation.statistics.resampling import (
        MeanMethod,
        compute_mean_interval,
        compute_mean_intervals,
    )

__all__ = [
    "WEIGHTINGS",
    "Adjustment",
    "AppCounts",
    "BestSet",
    "BestSetStatistic",
    "BinaryAgreement",
    "CaptureEstimate",
    "ChangePoint",
    "Comparison",
    "Confusion",
    "DetectableDifference",
    "Dominance",
    "FlipRate",
    "Front",
    "Interval",
    "MeanMethod",
    "MissingBounds",
    "ModelSummary",
    "Overlap",
    "PairComparison",
    "PairedOutcomes",
    "RankAgreement",
    "SignFlipTest",
    "Spread",
    "adjust_p_values",
    "compare_models",
    "compare_rankings",
    "compute_agreement",
    "compute_best_set",
    "compute_cohen_kappa",
    "compute_density",
    "compute_detectable_difference",
    "compute_difference_bounds",
    "compute_dominance",
    "compute_flip_rate",
    "compute_front",
    "compute_group_shift",
    "compute_mcnemar_p",
    "compute_mean_bounds",
    "compute_mean_interval",
    "compute_mean_intervals",
    "compute_paired_dominance",
    "compute_paired_risk_difference",
    "compute_pass_all",
    "compute_pass_any",
    "compute_pass_rate",
    "compute_power",
    "compute_rank_sum_p",
    "compute_risk_difference",
    "compute_share_interval",
    "compute_shift",
    "compute_sign_flip_test",
    "compute_templates_needed",
    "compute_topsis",
    "compute_weighted_sum",
    "count_frequencies",
    "count_overlaps",
    "estimate_by_chao",
    "estimate_by_jackknife",
    "estimate_spread",
    "find_change_points",
]

__getattr__ = open_door(
    __name__,
    {
        "agreement": (
            "BinaryAgreement",
            "Confusion",
            "compute_agreement",
            "compute_cohen_kappa",
        ),
        "best_set": (
            "BestSet",
            "BestSetStatistic",
            "compute_best_set",
        ),
        "capture": (
            "CaptureEstimate",
            "estimate_by_chao",
            "estimate_by_jackknife",
        ),
        "changes": (
            "ChangePoint",
            "compute_group_shift",
            "compute_rank_sum_p",
            "find_change_points",
        ),
        "comparison": (
            "Comparison",
            "ModelSummary",
            "PairComparison",
            "compare_models",
        ),
        "density": (
            "WEIGHTINGS",
            "AppCounts",
            "compare_rankings",
            "compute_density",
        ),
        "effects": (
            "Dominance",
            "compute_dominance",
            "compute_paired_dominance",
            "compute_shift",
        ),
        "flips": (
            "FlipRate",
            "compute_flip_rate",
        ),
        "fronts": (
            "Front",
            "compute_front",
        ),
        "intervals": (
            "Interval",
            "compute_share_interval",
        ),
        "missing": (
            "MissingBounds",
            "compute_difference_bounds",
            "compute_mean_bounds",
        ),
        "multiplicity": (
            "Adjustment",
            "adjust_p_values",
        ),
        "opinions": (
            "compute_topsis",
            "compute_weighted_sum",
        ),
        "overlap": (
            "Overlap",
            "count_frequencies",
            "count_overlaps",
        ),
        "permutation": (
            "SignFlipTest",
            "compute_sign_flip_test",
        ),
        "power": (
            "DetectableDifference",
            "Spread",
            "compute_detectable_difference",
            "compute_power",
            "compute_templates_needed",
            "estimate_spread",
        ),
        "proportions": (
            "PairedOutcomes",
            "compute_mcnemar_p",
            "compute_paired_risk_difference",
            "compute_risk_difference",
        ),
        "repeats": (
            "compute_pass_all",
            "compute_pass_any",
            "compute_pass_rate",
        ),
        "rankings": ("RankAgreement",),
        "resampling": (
            "MeanMethod",
            "compute_mean_interval",
            "compute_mean_intervals",
        ),
    },
)
