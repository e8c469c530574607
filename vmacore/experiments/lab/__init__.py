"""What experiments share: where they run, their trainings, paired scores, results, figures and pages."""
