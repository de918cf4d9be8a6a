"""ADU under its other names: count and DN."""

import astropy.units as u

__all__ = ["named_adu"]

#: other names of ADU, which astropy does not convert
OTHER_NAMES = (u.ct, u.DN)


def named_adu(value):
    """A Quantity or a unit with ADU in place of count and DN.

    Parameters
    ----------
    value : `~astropy.units.Quantity` or `~astropy.units.Unit`
        Such as a gain in electron / DN. Another object is returned as it is.

    Returns
    -------
    value : `~astropy.units.Quantity` or `~astropy.units.Unit`
        The same numbers. The same object if neither name occurs.
    """
    if isinstance(value, u.UnitBase):
        unit = value
        for base, power in zip(value.bases, value.powers, strict=True):
            if base in OTHER_NAMES:
                unit = unit * (u.adu / base) ** power
        return unit
    if not isinstance(value, u.Quantity):
        return value
    unit = named_adu(value.unit)
    return value if unit is value.unit else value / value.unit * unit
