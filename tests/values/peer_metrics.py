"""Metrics by Keras, and by scikit-learn where Keras's are approximate. Writes peer_metrics.json beside this file.

KERAS_BACKEND=jax python tests/values/peer_metrics.py    (keras 3.15.0, scikit-learn 1.9)
"""

import json
from pathlib import Path

import keras
import numpy as np
from sklearn import metrics as sk

M = keras.metrics
rng = np.random.default_rng(0)
N = 60
P = rng.dirichlet(np.full(4, 0.7), N).round(3)
LABELS = np.where(rng.random(N) < 0.6, P.argmax(axis=1), rng.integers(0, 4, N))
MULTI = (rng.random((N, 3)) < 0.4).astype(int)
Q = np.clip(MULTI * 0.3 + rng.random((N, 3)) * 0.7, 0, 1).round(2)  # rounded, so that there are ties
T = rng.normal(size=(N, 2)).round(3)
R = (T + rng.normal(size=(N, 2)) * 0.5).round(3)
ONE_HOT = np.eye(4, dtype=int)[LABELS]


def keras_value(metric, y_true, y_pred):
    metric.update_state(y_true, y_pred)
    return np.asarray(metric.result()).tolist()


def main():
    cases = []

    def case(name, options, data, value):
        cases.append({"name": name, "options": options, "data": data, "value": value})

    for name, options in [
        ("CategoricalAccuracy", {}),
        ("TopKCategoricalAccuracy", {"k": 2}),
        ("TopKCategoricalAccuracy", {"k": 3}),
        ("Precision", {}),
        ("Precision", {"thresholds": 0.3}),
        ("Precision", {"top_k": 2}),
        ("Precision", {"class_id": 1}),
        ("Precision", {"thresholds": 0.99999}),
        ("Recall", {}),
        ("Recall", {"thresholds": 0.2, "class_id": 2}),
        ("Recall", {"top_k": 1, "thresholds": 0.6}),
        ("F1Score", {"average": "macro"}),
        ("F1Score", {"average": "micro"}),
        ("F1Score", {"average": "weighted"}),
        ("F1Score", {}),
        ("F1Score", {"average": "macro", "threshold": 0.4}),
    ]:
        case(name, options, "classes", keras_value(getattr(M, name)(**options), ONE_HOT, P))
    case("SparseCategoricalAccuracy", {}, "classes", keras_value(M.SparseCategoricalAccuracy(), LABELS, P))
    case(
        "SparseTopKCategoricalAccuracy", {"k": 2}, "classes", keras_value(M.SparseTopKCategoricalAccuracy(2), LABELS, P)
    )
    for name, options in [
        ("BinaryAccuracy", {}),
        ("BinaryAccuracy", {"threshold": 0.7}),
        ("Precision", {}),
        ("Recall", {}),
        ("F1Score", {"average": "macro", "threshold": 0.5}),
    ]:
        case(name, options, "multilabel", keras_value(getattr(M, name)(**options), MULTI, Q))
    case("AUC", {}, "multilabel", sk.roc_auc_score(MULTI, Q, average="micro"))
    case("AUC", {"multi_label": True}, "multilabel", sk.roc_auc_score(MULTI, Q, average="macro"))
    case("AUC", {}, "classes", sk.roc_auc_score(ONE_HOT, P, average="micro"))
    for name, options in [
        ("MeanAbsoluteError", {}),
        ("MeanSquaredError", {}),
        ("RootMeanSquaredError", {}),
        ("MeanAbsolutePercentageError", {}),
        ("MeanSquaredLogarithmicError", {}),
        ("CosineSimilarity", {}),
        ("R2Score", {}),
        ("R2Score", {"class_aggregation": "variance_weighted_average"}),
    ]:
        case(name, options, "numbers", keras_value(getattr(M, name)(**options), T, R))
    assert abs(cases[-2]["value"] - sk.r2_score(T, R)) < 1e-5
    data = {
        "classes": [LABELS.tolist(), P.tolist()],
        "multilabel": [MULTI.tolist(), Q.tolist()],
        "numbers": [T.tolist(), R.tolist()],
    }
    Path(__file__).with_suffix(".json").write_text(json.dumps({"data": data, "cases": cases}) + "\n")


if __name__ == "__main__":
    main()
