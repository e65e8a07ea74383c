"""A character LSTM learns a nursery rhyme by heart, then recites it.

The recurrence is a `scan`, so that the kernel of a train step is loops and not 64 copies of a cell; Adam's update is
in the same kernel. Another scan draws text, one character from the last one's prediction. The rhyme, "This is the house
that Jack built", is bundled; another text can be given instead: ``python examples/character_lstm.py some.txt``.
"""

import argparse
from pathlib import Path
from time import perf_counter

import numpy as np

import tapejit as tj

RHYME = Path(__file__).parent / "data" / "house_that_jack_built.txt"
UNITS, BATCH, LENGTH = 64, 16, 64
LEARNING_RATE = 0.01


class Text:
    """A text as numbers, and windows of it."""

    def __init__(self, characters):
        self.alphabet = sorted(set(characters))
        self.codes = np.array([self.alphabet.index(character) for character in characters])

    def windows(self, random):
        """Codes of the characters that are read and of those that follow, each of shape (LENGTH, BATCH)."""
        starts = random.integers(0, len(self.codes) - LENGTH, BATCH)
        windows = self.codes[starts + np.arange(LENGTH + 1)[:, None]]
        return windows[:-1], windows[1:]

    def spelled(self, codes):
        return "".join(self.alphabet[code] for code in codes)


class Model:
    """One layer of LSTM cells and a softmax; all gates of a character are one product."""

    def __init__(self, alphabet, seed=0):
        random = np.random.default_rng(seed)

        def uniform(*shape):
            return tj.Variable((random.uniform(-1, 1, shape) / np.sqrt(UNITS)).astype("float32"))

        self.read, self.recur, self.bias = uniform(alphabet, 4 * UNITS), uniform(UNITS, 4 * UNITS), uniform(4 * UNITS)
        self.write, self.write_bias = uniform(UNITS, alphabet), uniform(alphabet)
        self.parameters = [self.read, self.recur, self.bias, self.write, self.write_bias]
        self.moments = [[tj.Variable(np.zeros_like(each.numpy())) for each in self.parameters] for _ in range(2)]
        self.count = tj.Variable(0.0)

    def cell(self, state, read):
        hidden, memory = state
        forget, into, out, change = tj.split(read + hidden @ self.recur, 4, axis=-1)
        memory = tj.sigmoid(forget) * memory + tj.sigmoid(into) * tj.tanh(change)
        hidden = tj.sigmoid(out) * tj.tanh(memory)
        return (hidden, memory), hidden

    def logits(self, hidden):
        return hidden @ self.write + self.write_bias

    def loss(self, codes, following):
        """Mean cross entropy of windows of text, in nats."""
        start = tj.zeros((codes.shape[1], UNITS)), tj.zeros((codes.shape[1], UNITS))
        _, hidden = tj.scan(self.cell, start, tj.take(self.read, codes, axis=0) + self.bias)
        chances = tj.log_softmax(self.logits(hidden), axis=-1)
        return -tj.mean(tj.sum(tj.one_hot(following, chances.shape[-1]) * chances, axis=-1))

    def train(self, codes, following):
        """One step of Adam; gives the loss before it."""
        with tj.GradientTape() as tape:
            loss = self.loss(codes, following)
        gradients = tape.gradient(loss, self.parameters)
        self.count.assign_add(1.0)
        for parameter, mean, square, gradient in zip(self.parameters, *self.moments, gradients, strict=True):
            mean.assign(0.9 * mean + 0.1 * gradient)
            square.assign(0.99 * square + 0.01 * gradient**2)
            scale = tj.sqrt(square / (1 - 0.99**self.count)) + 1e-8
            parameter.assign_sub(LEARNING_RATE * mean / (1 - 0.9**self.count) / scale)
        return loss

    def recite(self, code, length, generator):
        """Codes of drawn text that goes on after one character."""

        def character(carry, _):
            state, code = carry
            state, hidden = self.cell(state, tj.take(self.read, code, axis=0) + self.bias)
            noise = -tj.log(-tj.log(generator.uniform((len(self.write_bias),))))  # Gumbel's: the largest sum is a draw
            code = tj.argmax(self.logits(hidden) + noise)
            return (state, code), code

        start = (tj.zeros(UNITS), tj.zeros(UNITS)), code
        _, codes = tj.scan(character, start, None, length=length)
        return codes


def main(path=RHYME, steps=500, drawn=400):
    text = Text(path.read_text())
    model, random = Model(len(text.alphabet)), np.random.default_rng(0)
    train, losses = tj.compile(model.train), []
    begun = perf_counter()
    try:
        for number in range(1, steps + 1):
            losses.append(float(train(*text.windows(random))))
            if number == 1 or number % 100 == 0:
                recent = np.mean(losses[-50:])
                print(f"step {number:>5}: {recent:.3f} nats a character, {perf_counter() - begun:.1f} s", flush=True)
    except KeyboardInterrupt:  # Ctrl-C: it recites what it has learnt by then
        if not losses:
            raise SystemExit("stopped before the first step") from None
        print(f"stopped after {len(losses)} steps")
    generator = tj.random.Generator(seed=0)
    recite = tj.compile(lambda code: model.recite(code, drawn, generator))
    recited = text.spelled(recite(np.int64(text.codes[0])).numpy())
    print(f"\n{text.alphabet[text.codes[0]]}{recited}")
    return {"losses": losses, "recited": recited, "report": train.report()}


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("text", nargs="?", type=Path, default=RHYME, help="to learn instead of the rhyme")
    parser.add_argument("--steps", type=int, default=500, help="of training")
    parser.add_argument("--draw", type=int, default=400, metavar="CHARACTERS", help="of text, after the training")
    chosen = parser.parse_args()
    if not chosen.text.is_file():
        parser.exit(2, f"there is no file {chosen.text}\n")
    main(chosen.text, chosen.steps, chosen.draw)
