"""Teachers, which label the target in self-training: their settings by name."""

from segue.methods.teacher import TeacherSettings
from segue.methods.teachers.average import AverageSettings
from segue.methods.teachers.collaborative import CollaborativeSettings
from segue.methods.teachers.large import LargeSettings
from segue.methods.teachers.slow import SlowSettings

TEACHERS: dict[str, type[TeacherSettings]] = {
    "average": AverageSettings,
    "slow": SlowSettings,
    "large": LargeSettings,
    "collaborative": CollaborativeSettings,
}
