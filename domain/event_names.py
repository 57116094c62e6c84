"""The events that Megazord is known to have. It may learn more: a name that is not here is suspicious, not wrong."""

import difflib

_ACTIVITY = ("ACTIVITY", "TOILET_ACTIVITY", "BATHROOM_ACTIVITY", "EATING_ACTIVITY")
_INACTIVITY = ("INACTIVITY", "SHORT_INACTIVITY", "SUSPICIOUS_INACTIVITY")
_BED = (
    *("IN_BED", "OUT_OF_BED", "EARLY_OUT_OF_BED", "NOT_RETURNED_TO_BED"),
    *("LONGER_IN_BED_SHORT", "LONGER_IN_BED_LONG"),
)
_HOME = ("INSIDE_HOME", "OUTSIDE_HOME", "DOOR_OPEN_TOO_LONG")
_ROBOT_AND_ALARM = ("CLIENT_IN_HEARING_RANGE", "NO_TOILET_ACTIVITY_ALARM")
# Found out only while somebody is subscribed, and then told once: the past hardly ever holds one.
ROOMS = (
    *("IN_BATHROOM", "IN_KITCHEN", "IN_PANTRY", "IN_BEDROOM", "IN_LIVING_ROOM", "IN_HALL", "IN_TOILET"),
    *("IN_DINING_ROOM", "IN_OFFICE", "IN_HOBBY_ROOM", "IN_GUEST_ROOM", "IN_ENTRANCE", "IN_STAIRS", "IN_CORRIDOR"),
    *("IN_OTHER", "IN_LAUNDRY_ROOM", "IN_STORAGE_ROOM", "IN_GARAGE", "IN_GARDEN", "IN_TERRACE", "IN_BALCONY"),
    "IN_COMMUNAL_AREA",
)
EVENT_NAMES: tuple[str, ...] = (*_ACTIVITY, *_INACTIVITY, *_BED, *_HOME, *_ROBOT_AND_ALARM, *ROOMS)


def nearest_event(name: str) -> str | None:
    """The known event that was probably meant."""
    near = difflib.get_close_matches(name, EVENT_NAMES, n=1)
    return near[0] if near else None
