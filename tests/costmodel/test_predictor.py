from random import Random

from sarathid.costmodel.features import ChunkShape, IterationFeatures
from sarathid.costmodel.predictor import OnlineCostModel
from sarathid.scheduler.batch import ScheduledBatch, ScheduledSequence


def true_cost_s(features: IterationFeatures) -> float:
    return (
        0.02
        + 0.004 * features.num_decodes
        + 1e-6 * features.decode_context
        + 0.002 * features.num_prefill_tokens
        + 2e-7 * features.chunk_attention
    )


def random_features(random: Random) -> IterationFeatures:
    num_decodes = random.randint(0, 16)
    num_prefill = random.choice((0, 64, 128, 512))
    chunks = (ChunkShape(num_prefill, random.randint(0, 2000)),) if num_prefill else ()
    return IterationFeatures(num_decodes, num_decodes * random.randint(10, 2000), chunks)


def taught_model(random: Random, outlier_every: int = 0) -> OnlineCostModel:
    model = OnlineCostModel()
    for i in range(400):
        features = random_features(random)
        is_outlier = outlier_every and i % outlier_every == outlier_every - 1
        model.observe(features, true_cost_s(features) * (5.0 if is_outlier else random.uniform(0.97, 1.03)))
    return model


def worst_error(model: OnlineCostModel, random: Random) -> float:
    errors = []
    for _ in range(100):
        features = random_features(random)
        predicted = model.predict(features)
        assert predicted is not None
        errors.append(abs(predicted / true_cost_s(features) - 1.0))
    return sorted(errors)[94]


def test_says_nothing_before_it_has_seen_enough() -> None:
    assert OnlineCostModel().predict(IterationFeatures(1, 100)) is None


def test_says_nothing_of_what_is_far_beyond_what_it_has_seen() -> None:
    model = taught_model(Random(5))
    assert model.predict(IterationFeatures(4, 100, (ChunkShape(2048, 0),))) is not None
    assert model.predict(IterationFeatures(4, 100, (ChunkShape(4096, 0),))) is None


def test_learns_the_cost_of_each_term() -> None:
    assert worst_error(taught_model(Random(1)), Random(2)) < 0.05


def test_outliers_move_it_little() -> None:
    assert worst_error(taught_model(Random(3), outlier_every=50), Random(4)) < 0.15


def test_features_of_a_mixed_batch() -> None:
    def sequence(request_id: int, first: int, num_tokens: int) -> ScheduledSequence:
        return ScheduledSequence(
            request_id=request_id, token_ids=(1,) * num_tokens, first_position=first, block_ids=(), sampling=None
        )

    batch = ScheduledBatch(decodes=(sequence(1, 99, 1), sequence(2, 9, 1)), chunks=(sequence(3, 64, 32),))
    features = IterationFeatures.of(batch)
    assert features == IterationFeatures(2, 110, (ChunkShape(32, 64),))
    assert (features.num_prefill_tokens, features.chunk_attention) == (32, 32 * 80.0)
    assert features.without_chunks() == IterationFeatures(2, 110)
