"""What every method with a teacher does beside its views."""

from typing import Literal

from torch import nn

from segue.methods.context import Preparation, Trained
from segue.methods.method import Method
from segue.methods.teacher import Teacher
from segue.types import Batch


class Taught(Method):
    """A method whose teacher is prepared with it, follows the student, and may learn itself."""

    teacher: Teacher

    def after_step(self, batch: Batch, step: int) -> None:
        """The teacher follows the student."""
        super().after_step(batch, step)
        self.teacher.follow(self.student, batch, step, self.held)

    def prepare(self, preparation: Preparation) -> None:
        """Let the teacher prepare, too: a large one may have to measure its layers."""
        super().prepare(preparation)
        self.teacher.prepare(preparation)

    def trained(self) -> dict[str, Trained]:
        """The student, and a teacher that learnt from it."""
        teacher = self.teacher.trained()
        return super().trained() | ({} if teacher is None else {"teacher": teacher})

    def scored(self, network: Literal["student", "teacher"]) -> nn.Module:
        """The student, or the teacher if it learns."""
        learner = self.teacher.learner() if network == "teacher" else None
        return super().scored(network) if learner is None else learner
