"""The papers that texts of normviz cite, each once: other texts give the name, and the book's page has the links."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Reference:
    """One paper or talk.

    Attributes
    ----------
    name
        Authors and year, as texts cite it.
    title, where
        Its title; the number at arXiv, or a complete address where it is not there.
    topic
        What normviz cites it for, if it introduced no method of METHODS.
    """

    name: str
    title: str
    where: str
    topic: str = ""

    @property
    def link(self) -> str:
        """The address."""
        return self.where if self.where.startswith("http") else f"https://arxiv.org/abs/{self.where}"

    @property
    def key(self) -> tuple[str, str]:
        """Surname of the first author, and year: "Luo et al. (2018)" and "Luo et al. 2018" are one paper.

        >>> REFERENCES[0].key
        ('Welford', '1962')
        """
        return self.name.replace(",", "").split()[0], self.name[-4:]


# fmt: off
REFERENCES = (
    Reference("Welford 1962", "Note on a Method for Calculating Corrected Sums of Squares and Products",
              "https://doi.org/10.1080/00401706.1962.10490022", "a variance in one pass, value by value"),
    Reference("Chan, Golub & LeVeque 1983", "Algorithms for Computing the Sample Variance",
              "https://doi.org/10.1080/00031305.1983.10483115", "merging the moments of parts"),
    Reference("He et al. 2015", "Delving Deep into Rectifiers", "1502.01852", "the usual initialization before a ReLU"),
    Reference("Ioffe & Szegedy 2015", "Batch Normalization: Accelerating Deep Network Training by Reducing Internal "
              "Covariate Shift", "1502.03167"),
    Reference("Gatys, Ecker & Bethge 2016", "A Neural Algorithm of Artistic Style", "1508.06576",
              "the style of an image as the Gram matrix of its channels"),
    Reference("Salimans & Kingma 2016", "Weight Normalization", "1602.07868"),
    Reference("Ba, Kiros & Hinton 2016", "Layer Normalization", "1607.06450"),
    Reference("Ulyanov, Vedaldi & Lempitsky 2016",
              "Instance Normalization: The Missing Ingredient for Fast Stylization", "1607.08022"),
    Reference("Dumoulin, Shlens & Kudlur 2017", "A Learned Representation for Artistic Style", "1610.07629",
              "Conditional Instance Norm"),
    Reference("Ioffe 2017", "Batch Renormalization", "1702.03275", "Batch Renorm"),
    Reference("Huang & Belongie 2017", "Arbitrary Style Transfer in Real-time with Adaptive Instance Normalization",
              "1703.06868", "AdaIN"),
    Reference("Hoffer, Hubara & Soudry 2017", "Train longer, generalize better", "1705.08741"),
    Reference("Rahimi & Recht 2017", "Reflections on Random Kitchen Sinks, a talk at NIPS",
              "https://archives.argmin.net/2017/12/05/kitchen-sinks/",
              "the question whether reducing covariate shift explains Batch Norm"),
    Reference("Wu & He 2018", "Group Normalization", "1803.08494"),
    Reference("Santurkar et al. 2018", "How Does Batch Normalization Help Optimization?", "1805.11604",
              "an answer to that question: the loss becomes smoother"),
    Reference("Luo et al. 2018", "Differentiable Learning-to-Normalize via Switchable Normalization", "1806.10779",
              "Switchable Norm"),
    Reference("Karras et al. 2019", "A Style-Based Generator Architecture for Generative Adversarial Networks",
              "1812.04948", "AdaIN in a generator of images, StyleGAN"),
    Reference("Qiao et al. 2019", "Weight Standardization", "1903.10520"),
    Reference("Li et al. 2019", "Positional Normalization", "1907.04312"),
    Reference("Zhang & Sennrich 2019", "Root Mean Square Layer Normalization", "1910.07467"),
    Reference("Singh & Krishnan 2020", "Filter Response Normalization Layer", "1911.09737"),
    Reference("Kolesnikov et al. 2020", "Big Transfer (BiT): General Visual Representation Learning", "1912.11370",
              "a large user of Group Norm with Weight Standardization"),
    Reference("Dehghani et al. 2023", "Scaling Vision Transformers to 22 Billion Parameters", "2302.05442"),
)
# fmt: on


def cite(*names: str) -> str:
    """Return the citation of papers by their names, each with its number at arXiv.

    >>> cite("Wu & He 2018")
    'Wu & He 2018 (arXiv 1803.08494)'
    """
    known = {one.name: one for one in REFERENCES}
    return "; ".join(f"{name} (arXiv {known[name].where})" for name in names)
