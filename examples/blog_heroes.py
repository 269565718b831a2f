"""A hero picture for each blog post, from its title and excerpt: made once per title; the cost is printed.

Needs: pip install 'falrt[local]'
Use: python examples/blog_heroes.py; run it again after a new post, and only the new picture is paid for
"""

import asyncio
from dataclasses import dataclass
from pathlib import Path

import falrt
from falrt import models
from falrt.local import fal_or_stand_in

PRICE = 0.003  # dollars a megapixel, as FLUX.1 [schnell]'s page says; a hero has about one
FOLDER = Path("heroes")


@dataclass(frozen=True)
class Post:
    """One article."""

    title: str
    excerpt: str


POSTS = [
    Post("A winter with foxes", "What a red fox in the snow taught me about patience."),
    Post("The house by the sea", "Moving to the coast, and what the storms left of the roof."),
    Post("Cats, ranked", "Our cats by charm, honesty and the number of glasses broken."),
]


def hero(post: Post) -> models.FluxSchnellInput:
    """Turn a post into a picture's input; the seed keeps the picture of a title the same."""
    return models.FluxSchnellInput(
        prompt=f"editorial illustration for an article called {post.title!r}: {post.excerpt}",
        image_size="landscape_16_9",
        seed=sum(post.title.encode()),
    )


async def main() -> None:
    with fal_or_stand_in() as options:
        async with falrt.Client(**options) as fal:
            report = await falrt.batch(
                models.FLUX_SCHNELL,
                [hero(post) for post in POSTS],
                folder=FOLDER,
                client=fal,
                cache=False,  # the folder remembers
                price=PRICE,
            )
    for post, item in zip(POSTS, report.items, strict=True):
        print(f"{post.title}: {item.files[0] if item.files else item.error}")
    print(f"{report.progress.reused} were there, the others cost ${report.progress.cost:.3f}")


if __name__ == "__main__":
    asyncio.run(main())
