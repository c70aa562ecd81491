"""For class: the quiz, worksheets on paper, and the instructor's version of the course."""
