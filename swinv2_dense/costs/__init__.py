"""Operations and memory of models and of training steps, by counting."""
