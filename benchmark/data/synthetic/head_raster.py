"""A small depth-buffered rasteriser: triangles to visible surface points, surface points to shaded pixels."""

from __future__ import annotations

import numpy as np
from numba import njit


@njit(cache=True)
def vertex_normals(points: np.ndarray, triangles: np.ndarray) -> np.ndarray:
    """(V, 3) unit normals, the mean of the triangles around each vertex weighted by their areas."""
    normals = np.zeros_like(points)
    for f in range(triangles.shape[0]):
        a, b, c = triangles[f, 0], triangles[f, 1], triangles[f, 2]
        ux, uy, uz = points[b, 0] - points[a, 0], points[b, 1] - points[a, 1], points[b, 2] - points[a, 2]
        vx, vy, vz = points[c, 0] - points[a, 0], points[c, 1] - points[a, 1], points[c, 2] - points[a, 2]
        nx, ny, nz = uy * vz - uz * vy, uz * vx - ux * vz, ux * vy - uy * vx
        for k in (a, b, c):
            normals[k, 0] += nx
            normals[k, 1] += ny
            normals[k, 2] += nz
    for k in range(points.shape[0]):
        length = np.sqrt(normals[k, 0] ** 2 + normals[k, 1] ** 2 + normals[k, 2] ** 2) + np.float32(1e-9)
        normals[k] /= length
    return normals


@njit(cache=True)
def visible(
    points: np.ndarray,
    triangles: np.ndarray,
    one_sided: int,
    depth: np.ndarray,
    owner: np.ndarray,
    place: np.ndarray,
) -> None:
    """Fill depth (S, S), owner (S, S; triangle or -1) and place (S, S, 2; barycentric b, c) for points in
    pixels.

    The first `one_sided` triangles are seen from their front only.
    """
    size = depth.shape[0]
    depth[:] = -1e9
    owner[:] = -1
    for f in range(triangles.shape[0]):
        a, b, c = triangles[f, 0], triangles[f, 1], triangles[f, 2]
        x0, y0, z0 = points[a, 0], points[a, 1], points[a, 2]
        dx1, dy1, dz1 = points[b, 0] - x0, points[b, 1] - y0, points[b, 2] - z0
        dx2, dy2, dz2 = points[c, 0] - x0, points[c, 1] - y0, points[c, 2] - z0
        area = dx1 * dy2 - dy1 * dx2
        if (area <= 0 and f < one_sided) or abs(area) < 1e-7:
            continue
        left = max(int(np.ceil(min(x0, x0 + dx1, x0 + dx2) - 0.5)), 0)
        right = min(int(np.floor(max(x0, x0 + dx1, x0 + dx2) - 0.5)), size - 1)
        top = max(int(np.ceil(min(y0, y0 + dy1, y0 + dy2) - 0.5)), 0)
        bottom = min(int(np.floor(max(y0, y0 + dy1, y0 + dy2) - 0.5)), size - 1)
        scale = 1.0 / area
        for row in range(top, bottom + 1):
            py = row + 0.5 - y0
            for column in range(left, right + 1):
                px = column + 0.5 - x0
                wb = (px * dy2 - py * dx2) * scale
                wc = (dx1 * py - dy1 * px) * scale
                if wb < 0 or wc < 0 or wb + wc > 1:
                    continue
                z = z0 + wb * dz1 + wc * dz2
                if z > depth[row, column]:
                    depth[row, column] = z
                    owner[row, column] = f
                    place[row, column, 0] = wb
                    place[row, column, 1] = wc


@njit(cache=True)
def shade(
    owner: np.ndarray,
    place: np.ndarray,
    triangles: np.ndarray,
    normals: np.ndarray,
    looks: np.ndarray,
    atlas: np.ndarray,
    lights: np.ndarray,
    background: np.ndarray,
    image: np.ndarray,
) -> None:
    """Shade every surface point and average 2 x 2 of them into image (S/2, S/2, 3) uint8.

    looks (V, 4) holds atlas x, atlas y, openness to light and gloss of each vertex; lights (2, 4) a key and a
    fill direction with their strengths. Uncovered points show the background (S/2, S/2, 3) float32.
    """
    size = image.shape[0]
    for row in range(size):
        for column in range(size):
            red, green, blue = np.float32(0), np.float32(0), np.float32(0)
            for sub in range(4):
                y, x = 2 * row + sub // 2, 2 * column + sub % 2
                f = owner[y, x]
                if f < 0:
                    red += background[row, column, 0]
                    green += background[row, column, 1]
                    blue += background[row, column, 2]
                    continue
                a, b, c = triangles[f, 0], triangles[f, 1], triangles[f, 2]
                wb, wc = place[y, x, 0], place[y, x, 1]
                wa = np.float32(1) - wb - wc
                nx = wa * normals[a, 0] + wb * normals[b, 0] + wc * normals[c, 0]
                ny = wa * normals[a, 1] + wb * normals[b, 1] + wc * normals[c, 1]
                nz = wa * normals[a, 2] + wb * normals[b, 2] + wc * normals[c, 2]
                length = np.sqrt(nx * nx + ny * ny + nz * nz) + np.float32(1e-6)
                if nz < -0.15 * length:
                    length = -length
                nx, ny, nz = nx / length, ny / length, nz / length
                u = wa * looks[a, 0] + wb * looks[b, 0] + wc * looks[c, 0]
                v = wa * looks[a, 1] + wb * looks[b, 1] + wc * looks[c, 1]
                open_to = wa * looks[a, 2] + wb * looks[b, 2] + wc * looks[c, 2]
                gloss = wa * looks[a, 3] + wb * looks[b, 3] + wc * looks[c, 3]
                key = nx * lights[0, 0] + ny * lights[0, 1] + nz * lights[0, 2]
                # Light wraps a little past the terminator, as it does in skin.
                key = max((key + np.float32(0.28)) / np.float32(1.28), np.float32(0)) * lights[0, 3]
                fill = (
                    max(nx * lights[1, 0] + ny * lights[1, 1] + nz * lights[1, 2], np.float32(0))
                    * lights[1, 3]
                )
                light = (np.float32(0.34) + key + fill) * open_to
                hx, hy, hz = lights[0, 0], lights[0, 1], lights[0, 2] + np.float32(1)
                half = (nx * hx + ny * hy + nz * hz) / np.sqrt(hx * hx + hy * hy + hz * hz)
                half = max(half, np.float32(0)) ** 2
                half = half * half
                half = half * half
                shine = gloss * half * half * half * open_to * np.float32(255)
                ui, vi = int(u), int(v)
                fu, fv = u - np.float32(ui), v - np.float32(vi)
                for channel in range(3):
                    upper = atlas[vi, ui, channel] * (1 - fu) + atlas[vi, ui + 1, channel] * fu
                    lower = atlas[vi + 1, ui, channel] * (1 - fu) + atlas[vi + 1, ui + 1, channel] * fu
                    value = (upper * (1 - fv) + lower * fv) * light + shine
                    value = min(value, np.float32(255))
                    if channel == 0:
                        red += value
                    elif channel == 1:
                        green += value
                    else:
                        blue += value
            image[row, column, 0] = np.uint8(red * np.float32(0.25) + np.float32(0.5))
            image[row, column, 1] = np.uint8(green * np.float32(0.25) + np.float32(0.5))
            image[row, column, 2] = np.uint8(blue * np.float32(0.25) + np.float32(0.5))
