"""fastText's classifier as kernels over Arrow buffers: its dictionary, its answers, and the pieces that made them.

Model: Joulin et al. 2017, arXiv 1607.01759, on n-grams of characters as in Bojanowski et al. 2017, arXiv 1607.04606.
Constants and quirks are those of fastText 0.9.2 (github.com/facebookresearch/fastText, src/dictionary.cc and loss.cc),
on which every trained model depends; only the order in which vectors are added differs. `curation.models.fasttext`
reads models.
"""
