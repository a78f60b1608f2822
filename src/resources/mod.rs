//! Core: the resource algebra: scalars in thousandths, ranges, sets, bags of resources, reservations, text forms.
