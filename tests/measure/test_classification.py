import torch

from vqgen.measure.classification import label_accuracy


def test_label_accuracy_is_the_share_of_samples_told_as_their_label_and_that_of_each_class():
    told, labels = torch.tensor([0, 0, 1, 2, 2, 0]), torch.tensor([0, 1, 1, 2, 2, 2])
    found = label_accuracy(torch.eye(4)[told].log(), labels, ["coat", "T-shirt/top", "bag", "boot"])
    assert found == {
        "label_accuracy": 4 / 6,
        "label_accuracy_coat": 1.0,
        "label_accuracy_T-shirt-top": 0.5,
        "label_accuracy_bag": 2 / 3,
    }


def test_classes_that_are_called_alike_have_figures_of_their_own():
    found = label_accuracy(torch.eye(2)[torch.tensor([1, 1])].log(), torch.tensor([0, 1]), ["a b", "a-b"])
    assert found == {"label_accuracy": 0.5, "label_accuracy_a-b_0": 0.0, "label_accuracy_a-b_1": 1.0}
