"""What the parameters of somebody's function or class are for, by their names, and how they are filled.

One table says which names stand for which option, size or array; everything else about a call is found out by trying.
"""

from __future__ import annotations

import dataclasses
import functools
import inspect
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from jacobians.errors import CallError

__all__ = [
    "ARRAYS",
    "FORMS",
    "OPTIONS",
    "SIZES",
    "Form",
    "Parameters",
    "called",
    "fixed",
    "normal",
    "parameters_of",
    "role_of",
]

# Each option of a convolution, and the names that are used for it; underscores and capitals mean nothing.
OPTIONS: dict[str, str] = {
    "stride": "stride strides s step steps subsample stridesize strideshape convstride",
    "padding": "padding paddings pad pads p zeropad zeropadding padsize paddingsize",
    "dilation": "dilation dilations dilationrate dilationrates dilate",
    "groups": "groups group numgroups ngroups ngroup",
    "options": "convparam convparams hparameters hparameter hparams hparam params parameters",
}
# Sizes and flags that a layer is made of.
SIZES: dict[str, str] = {
    "planes": "inchannels inchannel inplanes inch inc cin nin inputchannels inputchannel channelsin ninputplane "
    "inputdim numinputs ninchannels inputdepth nchannels numchannels inputplanes infeatures",
    "filters": "outchannels outchannel outplanes outch outc cout nout outputchannels numfilters nfilters numkernels "
    "nkernels nfilter numfilter channelsout kernelcount filtercount noutputplane outputdim numoutputs noutchannels "
    "outputplanes outputdepth outfeatures",
    "taps": "kernelsize kernelsizes kernelshape filtersize filterdim filtershape ksize ksizes ks windowsize fieldsize "
    "receptivefield kernelspatial",
    "rows of taps": "kernelheight filterheight kh fh hh kernelh filterh",
    "columns of taps": "kernelwidth filterwidth kw fw ww kernelw filterw",
    "filter shape": "weightshape convolutionshape wshape fshape",
    "image shape": "inputshape inshape imageshape xshape inputsize imagesize",
    "images": "batchsize nbatch",
    "bias": "bias usebias hasbias withbias",
    "rate": "lr learningrate eta stepsize learnrate",
}
# In a constructor there are no arrays, whose names these are elsewhere.
OF_LAYERS = {
    "filters": "filters kernels units features",
    "taps": "kernel k f size window",
    "planes or filters": "depth channels planes c",
}
# Arrays, and what is handed from forward to backward.
ARRAYS: dict[str, str] = {
    "X": "x input inputs inp image images img aprev a h",
    "F": "f w weight weights kernel kernels filter filters",
    "b": "b bias biases",
    "G": "g dout grad gradoutput gradoutputs outputgrad gradout dz dy dldz dldy gy error errortensor delta upstream "
    "dloss grady gradz dldoutput outputgradient lossgradient accumgrad doutput dlda dl",
    "cache": "cache ctx context saved memory memo tmp state",
}

Spelling = Mapping[str, str]


def normal(name: str) -> str:
    """Write a name without what may be written in several ways."""
    return name.replace("_", "").casefold()


@functools.cache
def _by_name(*tables: str) -> Spelling:
    known = {"options": OPTIONS, "sizes": SIZES, "of layers": OF_LAYERS, "arrays": ARRAYS}
    found: dict[str, str] = {}
    for table in tables:
        for role, names in known[table].items():
            found = dict.fromkeys(names.split(), role) | found
    return found


def role_of(name: str, *tables: str) -> str:
    """Return what a name stands for, by the first of these tables that has it; empty where none does."""
    return _by_name(*tables).get(normal(name), "")


@dataclasses.dataclass(frozen=True)
class Form:
    """How numbers per axis are written where the name does not say: one for all axes, or a tuple of them."""

    # Of taps, and of options that are alike on all axes.
    taps: bool = True
    options: bool = False


FORMS = (Form(), Form(taps=False), Form(options=True), Form(taps=False, options=True))


@dataclasses.dataclass(frozen=True)
class Parameters:
    """The parameters of a function, what each is for, and those whose purpose is not known."""

    name: str
    signature: inspect.Signature
    roles: Mapping[str, str]

    @property
    def text(self) -> str:
        """The function with its signature."""
        return f"{self.name}{self.signature}"

    @property
    def arrays(self) -> list[str]:
        """Names of those that take arrays, or what is kept: positional ones that nothing else is known of."""
        return [name for name, each in self.signature.parameters.items() if not self.roles[name] and _is_array(each)]

    @property
    def needed(self) -> list[str]:
        """Names of the same that have no default."""
        return [name for name in self.arrays if self.signature.parameters[name].default is inspect.Parameter.empty]

    @property
    def takes_any(self) -> bool:
        """Whether it takes any number of arrays."""
        return any(each.kind is each.VAR_POSITIONAL for each in self.signature.parameters.values())

    def having(self, role: str) -> list[str]:
        """Return the names with a role."""
        return [name for name, each in self.roles.items() if each == role]


def _is_array(each: inspect.Parameter) -> bool:
    return each.kind not in {each.VAR_KEYWORD, each.VAR_POSITIONAL} and not (
        each.kind is each.KEYWORD_ONLY and each.default is not each.empty
    )


def parameters_of(function: Any, *tables: str, name: str = "") -> Parameters | None:
    """Return the parameters of a function or class; None where Python does not know them."""
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError):
        return None
    bound = fixed(function)
    roles = {each: "left" if each in bound else role_of(each, *tables) for each in signature.parameters}
    if "planes or filters" in roles.values():
        counted = {"filters"} if {"planes", "image shape"} & set(roles.values()) else {"planes"}
        roles = {each: min(counted) if role == "planes or filters" else role for each, role in roles.items()}
    called_ = name or str(getattr(function, "__name__", type(function).__name__))
    return Parameters(called_, signature.replace(return_annotation=inspect.Signature.empty), roles)


def fixed(function: Any) -> dict[str, Any]:
    """Return the arguments that `functools.partial` has fixed by their names."""
    found: dict[str, Any] = {}
    while isinstance(function, functools.partial):
        found, function = {**function.keywords, **found}, function.func
    return found


def called(parameters: Parameters, given: Mapping[str, str], known: Callable[[str, Any], str | None]) -> str:
    """Write the arguments of a call.

    Parameters
    ----------
    parameters : Parameters
        Of what is called.
    given : mapping of str to str
        Python for some of them, by their names.
    known : callable
        Returns Python for a role and the default of its parameter; None where it is to be left out.

    Returns
    -------
    str
        The arguments, by position as long as none is left out.

    Raises
    ------
    CallError
        If something that has no default is not known.
    """
    parts, positional = list[str](), True
    for name, each in parameters.signature.parameters.items():
        if each.kind in {each.VAR_KEYWORD, each.VAR_POSITIONAL}:
            positional = False
            continue
        role = parameters.roles[name]
        text = given.get(name) or (known(role, each.default) if role and role != "left" else None)
        if text is None:
            if each.default is each.empty:
                raise CallError(f"an audit does not know what to give for the parameter `{name}` of {parameters.text}")
            positional = False
            continue
        # Options by name are easier to read, where they may be given so.
        by_name = each.kind is each.KEYWORD_ONLY or not positional or (role and each.kind is not each.POSITIONAL_ONLY)
        if by_name and each.kind is each.POSITIONAL_ONLY:
            raise CallError(f"the parameter `{name}` of {parameters.text} comes after one that is left out")
        positional = positional and not by_name
        parts.append(f"{name}={text}" if by_name else text)
    return ", ".join(parts)


def named(names: Iterable[str], roles: Sequence[str]) -> dict[str, str] | None:
    """Return which of these arrays each parameter is, where all of their names say so, and each another one."""
    found = {name: role_of(name, "arrays") for name in names}
    return found if set(found.values()) <= set(roles) and len(set(found.values())) == len(found) else None
