from vnet_jax.experiments.comparisons import epochs_to


def rows(*means):
    return [
        {"kind": "validation", "step": 10 * i, "epoch": 5 * i + 4, "mean": mean}
        for i, mean in enumerate(means)
    ]


def test_epochs_to_a_share_of_the_last_dice():
    assert epochs_to(rows(0.1, 0.5, 0.77, 0.80, 0.79, 0.80)) == 15
    assert epochs_to(rows(0.8)) == 5
    assert epochs_to([{"kind": "train", "step": 1, "loss": 1.0}]) is None


def test_a_training_that_falls_back_settles_where_it_ends():
    assert epochs_to(rows(0.9, 0.2, 0.4)) == 5
