"""What the fields of commands and events mean, by model and name on the wire.

A test holds that each field has a meaning here, and each meaning a field. Results say it in their models.
"""

from collections.abc import Mapping

_ROBOT = "The robot whose queue gets the answer. Not together with `replyTo`."
_REPLY = "The queue that gets the answer, one of those that robotd's `queues.reply_queues` allows."
_USER = "The user to whom the campaign or list belongs; somebody else's is never found."
_CAMPAIGN = "The campaign."
_ANSWERED = {"robotId": _ROBOT, "replyTo": _REPLY}
_OF_A_CAMPAIGN = {**_ANSWERED, "userId": _USER, "campaignId": _CAMPAIGN}
_PERSON = {
    "phoneNumber": "The person's number, as people write it. Either this or `chatId`.",
    "chatId": "The person or group as WhatsApp addresses them: digits and `@c.us`, `@g.us` or `@lid`.",
}
_COUNTRY = "Country code without `+` for numbers that begin with one 0."
_DRY = "true: nothing is written to MailWizz, neither history nor status."

MEANINGS: Mapping[str, Mapping[str, str]] = {
    "Envelope": {
        "specversion": "Version of CloudEvents.",
        "id": "Chosen by the sender. (`source`, `id`) is the idempotency key: what comes again is done once.",
        "source": "Who sends: one stable name for each service.",
        "type": "The type of the command.",
        "time": "When it was sent, ISO 8601 with a zone.",
        "subject": "Free; robotd ignores it.",
        "datacontenttype": "The only kind of content that is read.",
        "dataschema": "Free; robotd ignores it.",
        "data": "By the type.",
        "callref": "For people and logs; every result carries it as `callRef`. None given: robotd makes one.",
        "traceparent": "W3C trace context; robotd takes it and does nothing with it yet.",
    },
    "CreateStatusCheck": {
        "robotId": "The robot whose home is looked at, and who is told.",
        "stepId": "The script step that asks; it names the template and both branches.",
        "scheduledId": "The scheduled script.",
        "scriptVersionId": "Version of the script.",
        "plannedAt": "When the step was planned; cut to the second. At most a year ahead.",
    },
    "GetStatusCheck": {"robotId": "The robot to whom the check belongs.", "statusCheckId": "The check."},
    "CancelStatusCheck": {"robotId": "The robot to whom the check belongs.", "statusCheckId": "The check."},
    "CreateCampaign": {
        **_ANSWERED,
        "userId": _USER,
        "name": "A name for people.",
        "session": "The WhatsApp session that sends; none: the user's first one at the start.",
        "contactListId": "The list; its contacts are frozen at the start.",
        "text": "The message. `{Name}` and the names of contacts' fields in braces are replaced.",
        "defaultNameValue": "What stands for `{Name}` where a contact has no first name.",
        "mediaFile": "A file of the user's folder that goes along, the text as its caption.",
        "scheduledAt": "When it starts; one that has passed starts at once.",
        "expiresAfterS": "If it could not start within so many seconds, it ends as Failed.",
        "window": "When messages may go out, beside the window of the number.",
    },
    "Window": {
        "timeZone": "IANA name of the zone of the times below.",
        "days": "Days of the week on which it opens; at least one.",
        "start": "Local time at which it opens.",
        "end": "Local time at which it closes; at or before `start` it is the next day's.",
        "excludedDates": "Local dates on which it stays closed.",
    },
    "ScheduleCampaign": {**_OF_A_CAMPAIGN, "scheduledAt": "The new start."},
    "CampaignCommand": _OF_A_CAMPAIGN,
    "RetryCampaign": {**_OF_A_CAMPAIGN, "scope": "Which recipients are sent to again."},
    "TrialSend": {**_OF_A_CAMPAIGN, **_PERSON, "firstName": "What stands for `{Name}`."},
    "ContactRow": {
        "phoneNumber": "As people write it, or a chat id.",
        "firstName": "What stands for `{Name}`.",
        "fields": "More placeholders by name: lower case letters, digits, `_`.",
    },
    "ImportContacts": {
        **_ANSWERED,
        "userId": _USER,
        "listId": "A list that is there. Either this or `listName`.",
        "listName": "A list by name, made where it is not there: one line of text, not only blanks.",
        "rows": "The contacts. A bad row is told and refuses no other.",
        "defaultCountry": _COUNTRY,
    },
    "AddOptOut": {
        **_ANSWERED,
        **_PERSON,
        "defaultCountry": _COUNTRY,
        "reason": "Why, for people.",
    },
    "RequestServerTest": {
        **_ANSWERED,
        "serverId": "The delivery server, by MailWizz's id.",
        "path": "`direct` speaks SMTP, `campaign` goes through MailWizz, `auto` takes what the server allows.",
        "checks": "Steps that are made besides those of every test.",
        "dryRun": _DRY,
    },
    "RequestServerCycle": {
        **_ANSWERED,
        "force": "true: every server that MailWizz sends through; false: those that need a test.",
        "dryRun": _DRY,
    },
    "SourceEvent": {
        "id": "Megazord's id of the event.",
        "robotId": "The robot whose home it is about.",
        "eventName": "Such as `IN_BED`.",
        "level": "Strength, where the event has one.",
        "referenceId": "Whatever its source wanted to find it by.",
        "createdAt": "When Megazord stamped it, whole seconds.",
    },
    "MegazordEvent": {
        "id": "Megazord's id of this message: what comes again is done once. Not in the flat variant.",
        "subscriptionId": "The subscription because of which it is sent.",
        "sourceEvent": "The event itself.",
    },
    "WhatsAppEvent": {
        "id": "WAHA's id of the event; one that has none is known by the SHA-256 of its body.",
        "event": "`message`, `message.ack` and `session.status` have effects; all others are taken and ignored.",
        "session": "The WhatsApp session.",
        "payload": "By the event, as WAHA documents it.",
    },
}
