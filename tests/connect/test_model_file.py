"""Model files of the real libraries answer as the library itself does, by the names of their inputs."""

from __future__ import annotations

import hashlib
import json
import math
import subprocess
import sys
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import joblib
import lightgbm
import numpy as np
import onnx
import pandas as pd
import pytest
from onnx import TensorProto, helper
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import HistGradientBoostingRegressor
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.model_selection import FixedThresholdClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from sklearn.tree import DecisionTreeClassifier

from setpoint import Endpoint, ModelFile, Reply, UsageError
from setpoint.store.snapshot import Snapshot
from setpoint.testing import temporary_store

RNG = np.random.default_rng(11)
NAMES = ["amount", "age"]
X = np.column_stack([RNG.normal(size=200), RNG.integers(18, 80, 200)]).astype(float)
IS_LARGE = X[:, 0] > 0
KIND = np.array(["low", "middle", "high"])[np.digitize(X[:, 0], [-0.5, 0.5])]
PRICE = X @ [3.0, 0.5]
ROW = {"age": 33, "amount": 1.5, "beside": "x"}  # in another order, and with one too many
ONE = np.array([[1.5, 33.0]])


def dumped(folder: Path, model: object, name: str = "model.joblib") -> Path:
    joblib.dump(model, folder / name)
    return folder / name


# scikit-learn


def test_a_classifier_of_two_answers_with_its_class_and_its_score(tmp_path: Path) -> None:
    model = LogisticRegression().fit(X, IS_LARGE)
    version = ModelFile(dumped(tmp_path, model), features=NAMES)
    reply = version(ROW)
    assert reply.prediction is True
    assert reply.score == pytest.approx(model.predict_proba(ONE)[0, 1])
    assert reply.scores is None
    assert version.features == ("amount", "age")


def test_which_of_two_named_classes_is_the_positive_one_is_not_guessed(tmp_path: Path) -> None:
    model = LogisticRegression().fit(X, np.where(IS_LARGE, "fraud", "ok"))  # sorted, "ok" would be the second
    path = dumped(tmp_path, model)
    share = pytest.approx(model.predict_proba(ONE)[0, 0])
    reply = ModelFile(path, features=NAMES)(ROW)
    assert (reply.score, reply.scores) == (None, {"fraud": share, "ok": pytest.approx(model.predict_proba(ONE)[0, 1])})
    assert ModelFile(path, features=NAMES, positive="fraud")(ROW).score == share
    with pytest.raises(UsageError, match=r"positive is scam, and .* has the classes fraud, ok"):
        ModelFile(path, features=NAMES, positive="scam")(ROW)


def test_a_classifier_of_many_answers_with_the_probability_of_each(tmp_path: Path) -> None:
    model = LogisticRegression().fit(X, KIND)
    reply = ModelFile(dumped(tmp_path, model, "m.pkl"), features=NAMES)(ROW)
    assert reply.prediction == "high"
    assert reply.scores == pytest.approx(dict(zip(model.classes_.tolist(), model.predict_proba(ONE)[0], strict=True)))


def test_a_regressor_answers_with_a_number(tmp_path: Path) -> None:
    model = LinearRegression().fit(X, PRICE)
    assert ModelFile(dumped(tmp_path, model), features=NAMES)(ROW).prediction == pytest.approx(1.5 * 3 + 33 * 0.5)


def test_a_class_is_the_models_own_where_it_is_not_the_likelier_one(tmp_path: Path) -> None:
    inner = LogisticRegression().fit(X, IS_LARGE)
    sure = FixedThresholdClassifier(inner, threshold=0.999999).fit(X, IS_LARGE)  # pyright: ignore[reportArgumentType] — its default decides its type
    for model in (sure, make_pipeline(StandardScaler(), sure).fit(X, IS_LARGE)):
        reply = ModelFile(dumped(tmp_path, model), features=NAMES)({"amount": 0.3, "age": 33})
        assert cast("float", reply.score) > 0.5
        assert reply.prediction is False


def test_a_pipeline_of_a_table_takes_texts_by_name(tmp_path: Path) -> None:
    frame = pd.DataFrame({"amount": X[:, 0], "country": np.where(X[:, 1] > 50, "de", "fr")})
    columns = ColumnTransformer([("n", StandardScaler(), ["amount"]), ("c", OneHotEncoder(), ["country"])])
    model = make_pipeline(columns, LogisticRegression()).fit(frame, IS_LARGE)
    version = ModelFile(dumped(tmp_path, model))
    assert version.features == ("amount", "country")
    expected = model.predict_proba(frame.head(3))[:, 1].tolist()
    rows = cast("list[dict[str, object]]", frame.head(3).to_dict("records"))
    assert [version(row).score for row in rows] == pytest.approx(expected)
    assert [cast("Reply", one).score for one in version.predict_many(rows)] == pytest.approx(expected)
    with pytest.raises(UsageError, match="does not answer without country"):
        version({"amount": 1.0})


def test_a_missing_input_is_nan_where_the_model_takes_it(tmp_path: Path) -> None:
    trees = HistGradientBoostingRegressor(max_iter=5).fit(X, PRICE)
    version = ModelFile(dumped(tmp_path, trees), features=NAMES)
    assert version({"amount": 1.0}).prediction == pytest.approx(trees.predict([[1.0, math.nan]])[0])
    line = ModelFile(dumped(tmp_path, LinearRegression().fit(X, PRICE)), features=NAMES)
    with pytest.raises(UsageError, match="does not answer without age") as told:
        line({"amount": 1.0})
    assert "NaN" in str(told.value.__cause__)
    with pytest.raises(ValueError, match="could not convert"):  # nothing is missing: it is the library's to say
        line({"amount": "much", "age": 1})


def test_pandas_stays_out_of_the_way_of_models_of_arrays(tmp_path: Path) -> None:
    path = dumped(tmp_path, DecisionTreeClassifier(max_depth=2).fit(X, KIND))
    code = (
        "import sys\nsys.modules['pandas'] = None\nfrom setpoint import ModelFile\n"
        f"print(ModelFile({str(path)!r}, features=['amount', 'age'])({{'amount': 1.5, 'age': 33}}).prediction)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=False)
    assert (done.stdout, done.stderr) == ("high\n", "")


# boosters


@pytest.mark.parametrize(
    ("objective", "target"), [("binary", IS_LARGE), ("multiclass", np.digitize(X[:, 0], [-0.5, 0.5])), ("l2", PRICE)]
)
def test_lightgbm_answers_as_its_booster(tmp_path: Path, objective: str, target: np.ndarray) -> None:
    classes = {"num_class": 3} if objective == "multiclass" else {}
    data = lightgbm.Dataset(X, target, feature_name=NAMES)
    booster = lightgbm.train({"objective": objective, "verbose": -1, "num_leaves": 5, **classes}, data, 5)
    booster.save_model(tmp_path / "model.txt")
    version = ModelFile(tmp_path / "model.txt")
    check_booster(version, cast("np.ndarray", booster.predict(ONE))[0])
    without = ModelFile(dumped(tmp_path, booster))({"amount": 1.0})  # also by joblib, and with a value missing
    assert answer_of(without) == pytest.approx(cast("np.ndarray", booster.predict(np.array([[1.0, math.nan]])))[0])


def check_booster(version: ModelFile, expected: np.ndarray) -> None:
    reply = version(ROW)
    assert version.features == ("amount", "age")
    assert answer_of(reply) == pytest.approx(expected)
    if reply.scores is not None:
        assert reply.prediction == int(np.argmax(expected))
        assert list(reply.scores) == ["0", "1", "2"]
    elif reply.score is not None:
        assert reply.prediction == int(expected > 0.5)


def answer_of(reply: Reply) -> object:
    if reply.scores is not None:
        return list(reply.scores.values())
    return reply.prediction if reply.score is None else reply.score


def test_lightgbm_of_an_array_is_told_its_names(tmp_path: Path) -> None:
    booster = lightgbm.train({"objective": "l2", "verbose": -1}, lightgbm.Dataset(X, PRICE), 3)
    booster.save_model(tmp_path / "model.lgb")
    with pytest.raises(UsageError, match="no names for its 2 inputs"):
        ModelFile(tmp_path / "model.lgb")
    with pytest.raises(UsageError, match="takes 2 inputs, and features are 1"):
        ModelFile(tmp_path / "model.lgb", features=["amount"])
    reply = ModelFile(tmp_path / "model.lgb", features=NAMES)(ROW)
    assert reply.prediction == pytest.approx(cast("np.ndarray", booster.predict(ONE))[0])


def test_lightgbm_with_categories_is_refused_as_text(tmp_path: Path) -> None:
    frame = pd.DataFrame({"amount": X[:, 0], "country": pd.Categorical(np.where(X[:, 1] > 50, "de", "fr"))})
    lightgbm.train({"verbose": -1}, lightgbm.Dataset(frame, PRICE), 3).save_model(tmp_path / "model.txt")
    with pytest.raises(UsageError, match="with categories"):
        ModelFile(tmp_path / "model.txt")


@pytest.mark.parametrize("ending", ["json", "ubj"])
@pytest.mark.parametrize(
    ("objective", "target"),
    [
        ("binary:logistic", IS_LARGE),
        ("multi:softprob", np.digitize(X[:, 0], [-0.5, 0.5])),
        ("reg:squarederror", PRICE),
    ],
)
def test_xgboost_answers_as_its_booster(tmp_path: Path, ending: str, objective: str, target: np.ndarray) -> None:
    xgboost = pytest.importorskip("xgboost", reason="its package for processors alone is there for x86-64 only")
    classes = {"num_class": 3} if objective == "multi:softprob" else {}
    data = xgboost.DMatrix(X, target, feature_names=NAMES)
    booster = xgboost.train({"objective": objective, "max_depth": 2, **classes}, data, 5)
    booster.save_model(tmp_path / f"model.{ending}")
    version = ModelFile(tmp_path / f"model.{ending}")
    check_booster(version, booster.predict(xgboost.DMatrix(ONE, feature_names=NAMES))[0])
    expected = booster.predict(xgboost.DMatrix([[1.0, math.nan]], feature_names=NAMES))[0]
    assert answer_of(version({"amount": 1.0})) == pytest.approx(expected)


def test_xgboost_that_was_stopped_early_answers_as_its_classifier(tmp_path: Path) -> None:
    xgboost = pytest.importorskip("xgboost", reason="its package for processors alone is there for x86-64 only")
    noise = RNG.random(200) < 0.5
    model = xgboost.XGBClassifier(n_estimators=60, max_depth=6, early_stopping_rounds=20, random_state=0)
    model.fit(X[:100], noise[:100], eval_set=[(X[100:], noise[100:])], verbose=False)
    assert model.best_iteration < 39
    model.save_model(tmp_path / "model.json")
    reply = ModelFile(tmp_path / "model.json", features=NAMES)(ROW)
    assert reply.score == pytest.approx(model.predict_proba(ONE)[0, 1])


# ONNX


def onnx_file(
    path: Path, nodes: Sequence[onnx.NodeProto], inputs: Sequence[onnx.ValueInfoProto], outputs: Sequence[Any]
) -> Path:
    graph = helper.make_graph(list(nodes), "g", list(inputs), list(outputs))
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("ai.onnx.ml", 3)]
    model = helper.make_model(graph, opset_imports=opsets)
    model.ir_version = 9
    onnx.checker.check_model(model)
    path.write_bytes(model.SerializeToString())
    return path


MATRIX = helper.make_tensor_value_info("x", TensorProto.FLOAT, [None, 2])


def sigmoid(path: Path) -> Path:
    weights = helper.make_node(
        "Constant", [], ["w"], value=helper.make_tensor("w", TensorProto.FLOAT, [2, 1], [1.0, -0.05])
    )
    nodes = [weights, helper.make_node("MatMul", ["x", "w"], ["z"]), helper.make_node("Sigmoid", ["z"], ["p"])]
    return onnx_file(path, nodes, [MATRIX], [helper.make_tensor_value_info("p", TensorProto.FLOAT, [None, 1])])


def test_an_onnx_model_of_a_matrix_is_told_its_names(tmp_path: Path) -> None:
    path = sigmoid(tmp_path / "model.onnx")
    with pytest.raises(UsageError, match="no names for its 2 inputs"):
        ModelFile(path)
    expected = 1 / (1 + math.exp(-(1.5 - 0.05 * 33)))
    assert ModelFile(path, features=NAMES)(ROW).prediction == pytest.approx(expected, abs=1e-6)
    reply = ModelFile(path, features=NAMES, is_score=True)(ROW)
    assert (reply.prediction, reply.score) == (None, pytest.approx(expected, abs=1e-6))
    with pytest.raises(UsageError, match="without age"):  # the graph itself would have answered NaN
        ModelFile(path, features=NAMES)({"amount": 1.0})


def classifier(path: Path, *, is_zipped: bool, count: int = 3) -> Path:
    labels = ["low", "middle", "high"][:count]
    node = helper.make_node(
        "LinearClassifier",
        ["x"],
        ["label", "raw" if is_zipped else "probabilities"],
        domain="ai.onnx.ml",
        coefficients=[-1.0, 0.01, 0.1, 0.0, 1.0, -0.02][: 2 * count],
        intercepts=[0.0, 0.2, 0.1][:count],
        classlabels_strings=labels,
        post_transform="SOFTMAX",
    )
    zipped = helper.make_node("ZipMap", ["raw"], ["probabilities"], domain="ai.onnx.ml", classlabels_strings=labels)
    shares = helper.make_map_type_proto(TensorProto.STRING, helper.make_tensor_type_proto(TensorProto.FLOAT, []))
    told = (
        helper.make_value_info("probabilities", helper.make_sequence_type_proto(shares))
        if is_zipped
        else helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, [None, count])
    )
    outputs = [helper.make_tensor_value_info("label", TensorProto.STRING, [None]), told]
    return onnx_file(path, [node, *([zipped] if is_zipped else [])], [MATRIX], outputs)


SHARES = np.exp([-1.5 + 0.33, 0.15 + 0.2, 1.5 - 0.66 + 0.1])


def test_an_onnx_classifier_answers_with_its_class_and_its_probabilities(tmp_path: Path) -> None:
    shares = (SHARES / SHARES.sum()).tolist()
    zipped = ModelFile(classifier(tmp_path / "z.onnx", is_zipped=True), features=NAMES)(ROW)
    assert zipped.prediction == "high"
    assert zipped.scores == pytest.approx(dict(zip(["low", "middle", "high"], shares, strict=True)), abs=1e-6)
    plain = ModelFile(classifier(tmp_path / "p.onnx", is_zipped=False), features=NAMES)(ROW)
    assert (plain.prediction, plain.scores) == ("high", None)  # its columns have no names, so none are made up
    assert plain.confidence == pytest.approx(max(shares), abs=1e-6)
    two = SHARES[:2] / SHARES[:2].sum()
    reply = ModelFile(classifier(tmp_path / "2.onnx", is_zipped=True, count=2), features=NAMES, positive="low")(ROW)
    assert (reply.prediction, reply.score) == ("middle", pytest.approx(two[0], abs=1e-6))
    reply = ModelFile(classifier(tmp_path / "2.onnx", is_zipped=False, count=2), features=NAMES)(ROW)
    assert (reply.prediction, reply.score, reply.confidence) == ("middle", None, pytest.approx(two[1], abs=1e-6))


def test_an_onnx_model_of_columns_takes_them_by_name(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("Cast", ["age"], ["years"], to=TensorProto.FLOAT),
        helper.make_node("Add", ["amount", "years"], ["sum"]),
    ]
    inputs = [
        helper.make_tensor_value_info("amount", TensorProto.FLOAT, [None, 1]),
        helper.make_tensor_value_info("age", TensorProto.INT64, [None, 1]),
        helper.make_tensor_value_info("country", TensorProto.STRING, [None, 1]),
    ]
    nodes.append(helper.make_node("Identity", ["country"], ["same"]))
    told = [helper.make_tensor_value_info("sum", TensorProto.FLOAT, [None, 1])]
    path = onnx_file(tmp_path / "model.onnx", nodes, inputs, told)
    version = ModelFile(path)
    assert version.features == ("amount", "age", "country")
    assert version({**ROW, "country": "de"}).prediction == 34.5
    for name in ("age", "country"):
        with pytest.raises(UsageError, match=f"without {name}"):
            version({key: value for key, value in {**ROW, "country": "de"}.items() if key != name})
    with pytest.raises(ValueError, match="whole"):  # NumPy would cut it
        version({**ROW, "age": 33.7, "country": "de"})
    with pytest.raises(UsageError, match="the model takes amount, age, country"):
        ModelFile(path, features=["age", "amount", "country"])


# MLflow


@pytest.fixture
def mlflow_folder(tmp_path: Path) -> Path:
    frame = pd.DataFrame({"amount": X[:, 0], "age": X[:, 1].astype(int), "note": "x"})
    columns = ColumnTransformer([("all", "passthrough", NAMES)])
    return saved_by_mlflow(tmp_path / "mlflow", make_pipeline(columns, LogisticRegression()).fit(frame, KIND), frame)


def saved_by_mlflow(folder: Path, model: object, frame: pd.DataFrame | None, **options: object) -> Path:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # MLflow's own: of its formats, and of integers that cannot be missing
        sklearn = pytest.importorskip("mlflow.sklearn")
        signature = None if frame is None else pytest.importorskip("mlflow.models").infer_signature(frame)
        sklearn.save_model(
            model, str(folder), signature=signature, serialization_format="pickle", pip_requirements=[], **options
        )
    return folder


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")  # of MLflow's own imports
def test_a_folder_of_mlflow_answers_by_its_signature(mlflow_folder: Path) -> None:
    version = ModelFile(mlflow_folder)
    assert version.features == ("amount", "age", "note")
    assert version({"amount": 1, "age": 33.0, "note": "x"}).prediction == "high"  # MLflow itself refuses such types
    replies = version.predict_many([{"amount": a, "age": 33, "note": "y"} for a in (-2, 0, 2)])
    assert [cast("Reply", reply).prediction for reply in replies] == ["low", "middle", "high"]
    with pytest.raises(UsageError, match="without age"):
        version({"amount": 1.0, "note": "x"})


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")  # as above
def test_a_folder_of_mlflow_that_was_saved_for_probabilities_gives_them(tmp_path: Path) -> None:
    model = LogisticRegression().fit(X, KIND)
    folder = saved_by_mlflow(tmp_path / "m", model, None, pyfunc_predict_fn="predict_proba")
    with pytest.raises(UsageError, match="no names for its inputs"):
        ModelFile(folder)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # scikit-learn's: the model was fitted without names
        reply = ModelFile(folder, features=NAMES)(ROW)
    assert reply.prediction == "high"
    assert reply.scores == pytest.approx(dict(zip(model.classes_.tolist(), model.predict_proba(ONE)[0], strict=True)))


# which file it is


def test_the_hash_is_looked_at_before_anything_is_loaded(tmp_path: Path) -> None:
    path, trace = tmp_path / "model.pkl", tmp_path / "trace"
    path.write_bytes(b"cpathlib\nPath\n(V" + str(trace).encode() + b"\ntR.")  # a pickle that calls what it names
    with pytest.raises(UsageError, match="nothing was loaded"):
        ModelFile(path, sha256="0" * 64)
    with pytest.raises(UsageError, match="neither predict_proba nor predict"):  # so it was called
        ModelFile(path, sha256=hashlib.sha256(path.read_bytes()).hexdigest())


def test_the_hash_of_a_folder_is_that_of_what_sha256sum_prints(mlflow_folder: Path) -> None:
    (mlflow_folder / "inner").mkdir()
    (mlflow_folder / "inner" / "more.txt").write_text("more")
    command = "find * -type f | LC_ALL=C sort | xargs sha256sum | sha256sum"
    shell = subprocess.run(["sh", "-c", command], cwd=mlflow_folder, capture_output=True, text=True, check=True)
    expected = shell.stdout.split()[0]
    assert ModelFile(mlflow_folder, sha256=expected).sha256 == expected
    (mlflow_folder / "inner" / "more.txt").write_text("other")
    with pytest.raises(UsageError, match="expected"):
        ModelFile(mlflow_folder, sha256=expected)


def test_a_file_that_is_no_model_is_told_in_words(tmp_path: Path) -> None:
    (tmp_path / "model.h5").write_bytes(b"")
    with pytest.raises(UsageError, match=r"not a model that is understood") as told:
        ModelFile(tmp_path / "model.h5")
    assert ".onnx" in told.value.hint
    with pytest.raises(UsageError, match="no model at"):
        ModelFile(tmp_path / "none.onnx")
    (tmp_path / "folder").mkdir()
    with pytest.raises(UsageError, match="not a model that is understood"):
        ModelFile(tmp_path / "folder")
    for name in ("model.joblib", "model.pkl", "model.txt", "model.onnx"):
        (tmp_path / name).write_bytes(b"garbage")
        with pytest.raises(UsageError, match="cannot load"):
            ModelFile(tmp_path / name)


def test_garbage_for_xgboost_is_told_in_words(tmp_path: Path) -> None:
    pytest.importorskip("xgboost", reason="its package for processors alone is there for x86-64 only")
    (tmp_path / "model.json").write_text(json.dumps({"version": [3, 0, 0]}))
    with pytest.raises(UsageError, match="cannot load"):
        ModelFile(tmp_path / "model.json")


@pytest.mark.parametrize(("name", "package"), [("m.onnx", "onnxruntime"), ("m.txt", "lightgbm"), ("m.json", "xgboost")])
def test_a_library_that_is_not_installed_is_named(tmp_path: Path, name: str, package: str) -> None:
    (tmp_path / name).write_bytes(b"")
    code = (
        f"import sys\nsys.modules[{package!r}] = None\nfrom setpoint import ModelFile, UsageError\n"
        f"try:\n    ModelFile({str(tmp_path / name)!r})\nexcept UsageError as error:\n    print(error.hint)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=True)
    assert done.stdout == f"pip install {package}\n"


def test_an_endpoint_asks_a_file_and_records_its_classes(tmp_path: Path) -> None:
    version = ModelFile(dumped(tmp_path, LogisticRegression().fit(X, KIND)), features=NAMES)
    with temporary_store() as (layout, _):
        endpoint = Endpoint(layout, "m", {"v1": version})
        inputs: Mapping[str, object] = {"amount": 1.5, "age": 33}
        assert endpoint.predict(inputs).prediction == "high"
        assert endpoint.close()
        with Snapshot(layout, "m") as snapshot:
            found = snapshot.connection.execute("SELECT prediction, scores['high'] > 0.5 FROM predictions").fetchall()
        assert found == [("high", True)]
