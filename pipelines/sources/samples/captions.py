"""Spanish captions with hashtags, composed from a few words per category."""

from dataclasses import dataclass
from random import Random

from schemas.categories import OTRA


@dataclass(frozen=True)
class Words:
    """What captions of one category are made of."""

    sentences: tuple[str, ...]
    things: tuple[str, ...]
    emoji: str
    tags: tuple[str, ...]
    usernames: tuple[str, ...]


_EMOJI_SHARE = 0.6

WORDS: dict[str, Words] = {
    "aire-libre": Words(
        ("Subimos temprano hasta {}", "Nada como despertar frente a {}",
         "Caminamos seis horas por {}",
         "El aire puro de {} lo cura todo"),
        ("el cerro", "el lago", "la cordillera", "el bosque nativo", "el glaciar", "la quebrada"),
        "🏔🌲🌞🥾",
        ("airelibre", "trekking", "naturaleza", "montaña", "senderismo", "cordillera"),
        ("ruta_andina", "senderos.del.sur", "cumbre.y.lago", "patagonia_a_pie"),
    ),
    "animal": Words(
        ("Hoy {} no quiso salir de la cama", "Miren la cara de {} cuando llego a casa",
         "Adoptamos a {} hace un año", "{} cumple años y hay doble ración"),
        ("mi gata Luna", "el perro Toby", "la cachorra Frida", "mi gato Simón",
         "la perrita Kiara"),
        "🐶🐱🐾🦴",
        ("perros", "gatos", "mascotas", "adoptanocompres", "doglover", "instagato"),
        ("perritos.felices", "gatos_de_la_casa", "patitas.sur", "luna.y.toby"),
    ),
    "arte": Words(
        ("Terminé por fin {}", "Así empezó {} esta mañana en el taller", "Mañana se inaugura {}",
         "Tres semanas de pinceles para {}"),
        ("esta acuarela", "el óleo grande", "la escultura de greda", "el mural",
         "mi cuaderno de dibujo"),
        "🎨🖌🖼✏",
        ("arte", "pintura", "acuarela", "ilustracion", "artesania", "taller"),
        ("taller_acuarela", "pinceladas.cl", "greda_y_color", "cuaderno.de.dibujo"),
    ),
    "belleza": Words(
        ("Probé {} y no me lo saco más", "Tutorial nuevo con {}",
         "Mi rutina de noche termina con {}",
         "Tres tonos de {} para este otoño"),
        ("este labial mate", "la base nueva", "el rubor en crema", "la máscara de pestañas",
         "el iluminador"),
        "💄💋✨💅",
        ("maquillaje", "belleza", "makeup", "skincare", "labial", "rutinadebelleza"),
        ("brillo.y.labial", "cami_makeup", "piel_de_luna", "rubor.rosa"),
    ),
    "comida": Words(
        ("Hoy cocinamos {} en familia", "Receta fácil de {} con lo que hay en casa",
         "El secreto de {} está en el horno", "Domingo de {} y sobremesa"),
        ("pizza casera", "ensalada de tomate", "huevos con tocino", "pastel de choclo",
         "pan amasado"),
        "🍕🥗🍳🍽",
        ("comida", "cocina", "recetas", "comidacasera", "foodie", "almuerzo"),
        ("la_cocina_de_ines", "sabor.casero", "horno_y_harina", "plato.del.dia"),
    ),
    "deporte": Words(
        ("Ganamos {} en el último minuto", "Entrenamiento duro antes de {}",
         "Se viene {} y estamos listos",
         "Qué equipo, así se juega {}"),
        ("el partido", "la final del torneo", "el campeonato", "el clásico del barrio",
         "la semifinal"),
        "⚽🏀🎾💪",
        ("deporte", "futbol", "entrenamiento", "basquetbol", "tenis", "vamosequipo"),
        ("gol_de_barrio", "cancha.central", "equipo_sur", "saque.y.red"),
    ),
    "familia": Words(
        ("Tarde de juegos con {}", "Crecen demasiado rápido {}",
         "Nuestro paseo con {} en la plaza",
         "Primer día de clases de {}"),
        ("los niños", "mis hijos", "el bebé y su hermana", "los abuelos", "la Emilia"),
        "👨‍👩‍👧💛👶🧸",
        ("familia", "maternidad", "hijos", "crianza", "papas", "amorinfinito"),
        ("mama_de_tres", "crianza.feliz", "los_cinco_en_casa", "papa.primerizo"),
    ),
    "moda": Words(
        ("Nuevo look con {}", "Llegó a la tienda {}", "Cómo combinar {} sin gastar de más",
         "Me enamoré de {} para la fiesta"),
        ("este vestido rojo", "la camisa de lino", "el conjunto de temporada", "la falda larga",
         "el blazer"),
        "👗👠👜🧥",
        ("moda", "outfit", "estilo", "fashion", "vestido", "tendencias"),
        ("vestidor.abierto", "percha_roja", "estilo.lino", "moda_con_calma"),
    ),
    "musica": Words(
        ("Ensayo de {} hasta la madrugada", "Esta noche tocamos {} en vivo",
         "Ya pueden escuchar {}",
         "Afinando la guitarra para {}"),
        ("la nueva canción", "nuestro disco", "el bolero del abuelo", "la cueca", "el concierto"),
        "🎸🎶🎤🥁",
        ("musica", "guitarra", "envivo", "concierto", "cantautor", "rock"),
        ("cuerdas.al.viento", "banda_del_puerto", "guitarra_y_voz", "seis.cuerdas"),
    ),
    "tatuajes": Words(
        ("Recién terminado {} en el antebrazo", "Cuatro horas de aguja para {}",
         "Primera sesión de {}",
         "Línea fina y negro para {}"),
        ("el ancla", "esta rosa", "el corazón con flecha", "la luna y sus estrellas",
         "el diseño"),
        "🖤🌹⚓🌙",
        ("tatuaje", "tattoo", "tinta", "lineafina", "blackwork", "tatuadora"),
        ("tinta_negra", "aguja.y.rosa", "estudio.ancla", "linea_fina.tattoo"),
    ),
    "viajes": Words(
        ("Maleta lista, volamos a {}", "Atardecer en {}", "Tres días recorriendo {} con mochila",
         "Guía para visitar {} sin apuro"),
        ("la playa", "Cartagena", "la isla", "Lisboa", "el Caribe", "Buenos Aires"),
        "✈🌴🧳🏖",
        ("viajes", "vacaciones", "playa", "travel", "viajeros", "mochilero"),
        ("maleta_lista", "rumbo.al.mar", "viajera.en.ruta", "sello_de_pasaporte"),
    ),
    "vida-sana": Words(
        ("Respira: {} para empezar el día", "Diez minutos de {} cambian todo",
         "Hoy tocó {} en el parque",
         "Mi cuerpo agradece {}"),
        ("yoga", "meditación", "una rutina suave", "el saludo al sol", "la postura del loto"),
        "🧘🌿🍏☀",
        ("vidasana", "yoga", "bienestar", "meditacion", "mindfulness", "equilibrio"),
        ("yoga.al.sol", "respira_hondo", "bienestar.verde", "loto_y_calma"),
    ),
    "videojuegos": Words(
        ("Pasamos el último nivel de {}", "Esta noche transmito {}",
         "Mi control ya no aguanta {}",
         "Torneo de {} con los de siempre"),
        ("la aventura retro", "el juego de naves", "la saga completa", "marcianitos",
         "el jefe final"),
        "🎮👾🕹🔥",
        ("videojuegos", "gamer", "gaming", "retro", "stream", "esports"),
        ("nivel_final", "control.en.mano", "pixel.nocturno", "marcianitos_cl"),
    ),
    OTRA: Words(
        ("Otro lunes esperando {}", "Alguien sabe qué pasó con {}", "Sigo pensando en {}",
         "Hoy no hay fotos mejores que {}"),
        ("el bus", "la reunión de las nueve", "el trámite", "la pared de la oficina", "el reloj"),
        "🤷⏰📄🧱",
        ("lunes", "oficina", "random", "cosasquepasan", "hoy"),
        ("cuenta_sin_tema", "cosas.que.pasan"),
    ),
}  # fmt: skip


def compose_caption(category: str, random: Random) -> str:
    """Compose a caption of one sentence, perhaps an emoji, and two to four hashtags."""
    words = WORDS[category]
    sentence = random.choice(words.sentences).format(random.choice(words.things))
    sentence = sentence.replace(" a el ", " al ").replace(" de el ", " del ")
    emoji = random.choice(_split_emoji(words.emoji)) if random.random() < _EMOJI_SHARE else ""
    ending = random.choice([".", "!", "…", ""])
    tags = random.sample(words.tags, random.randint(2, 4))
    opening = f"{sentence[0].upper()}{sentence[1:]}{ending} {emoji}".rstrip()
    return f"{opening}\n{' '.join(f'#{tag}' for tag in tags)}"


def _split_emoji(text: str) -> list[str]:
    """Split a row of emoji, keeping those joined by U+200D in one piece."""
    parts: list[str] = []
    for char in text:
        joined = parts and (char == "\u200d" or parts[-1].endswith("\u200d"))
        if joined:
            parts[-1] += char
        else:
            parts.append(char)
    return parts
